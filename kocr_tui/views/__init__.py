"""What the screens show, as plain data: no widgets, no threads."""
