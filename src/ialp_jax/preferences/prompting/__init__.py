"""What a judge is asked, as words and as tokens, and what its answers are read as."""
