"""Losses between outputs of teacher and student; one file each, with its source."""
