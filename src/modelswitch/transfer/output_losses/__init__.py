"""One file a loss between outputs, with its source, and the registry of their names."""
