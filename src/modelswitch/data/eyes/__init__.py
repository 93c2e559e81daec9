"""Eyes: drawn ones, and what is done to pictures of eyes."""
