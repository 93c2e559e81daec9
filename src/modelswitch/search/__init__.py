"""Searching for the smallest model that is good enough: what is tried, how far, what comes out."""
