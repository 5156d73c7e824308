"""Logs in, `Dataset` out: one file per source, one pipeline for all; host only, never imports jax."""
