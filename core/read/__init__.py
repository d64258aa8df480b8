"""Reading signs with a model or another program, outside a run."""
