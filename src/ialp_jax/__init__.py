"""iALP and A-iALP in JAX: policies pre-trained on an LLM's preferences, adapted online."""

__version__ = "0.1.0"
