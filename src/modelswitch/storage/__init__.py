"""Files that are checked, whole, or disposable."""
