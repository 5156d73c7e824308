"""Many settings of a study: which are run, run together, and what they show (`ialp sweep`)."""
