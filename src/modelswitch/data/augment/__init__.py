"""Random changes of views, one file a family: what is drawn for each sample, and what it does."""
