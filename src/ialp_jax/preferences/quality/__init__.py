"""How good a table is: against held-out feedback, against another table, and whether it may be trained from."""
