"""One file per environment; it registers itself when it is imported."""
