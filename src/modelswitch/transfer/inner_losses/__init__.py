"""One file a loss between inner layers, with its source, and the registry of their names."""
