"""Commands of the `ialp` command line; each file has `run(arguments)`."""
