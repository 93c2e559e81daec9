"""Dynamical model training: a learning process that switches models on the way."""

__version__ = "0.1.0"
