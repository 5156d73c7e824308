"""`python -m ialp_jax` is `ialp`."""

from ialp_jax.cli import main

if __name__ == "__main__":
    main()
