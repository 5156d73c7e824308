"""Throughput of every part of a study beside the floor that the machine sets it (`ialp bench`)."""
