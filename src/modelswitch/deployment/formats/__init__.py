"""Formats for devices: one file each, which writes a `Deployable` and names the extra it needs."""
