"""Outputs -> numbers: tables, intervals, differences, verdicts."""
