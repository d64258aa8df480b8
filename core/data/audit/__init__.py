"""What a data set is like, and what is wrong with it, before a model sees it."""
