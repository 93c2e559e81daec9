"""People's files -> batches."""
