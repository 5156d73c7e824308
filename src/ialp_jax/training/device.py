"""Settings of the device runtime that every training command wants."""

import os
from pathlib import Path

import jax


def prepare_device() -> None:
    """Turns on the persistent compilation cache, so that a second run of the same program does not compile again.

    The folder is JAX_COMPILATION_CACHE_DIR if set, else ~/.cache/ialp_jax/compiled.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "ialp_jax" / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
