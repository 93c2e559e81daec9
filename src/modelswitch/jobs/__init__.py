"""One module a rule: what its script does, called by it."""
