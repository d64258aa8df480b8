"""What each optimizer step is made of, and the processes that load it."""
