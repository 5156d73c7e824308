"""What people look at: the page, its figure, the tables in a terminal."""
