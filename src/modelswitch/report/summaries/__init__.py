"""The summary tables, one module each."""
