"""Numbers -> pages: tables for readers, figures, the page."""
