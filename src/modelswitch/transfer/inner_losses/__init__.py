"""One file a loss between inner layers, and the registry that finds them by name."""
