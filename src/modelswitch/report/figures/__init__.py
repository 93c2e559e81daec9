"""Figures from tidy tables, one function each, `Tables -> Figure`, listed in `report.contents`."""
