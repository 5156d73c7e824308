"""Work on more than one machine, through Ray: an optional extra, imported only when it is asked for."""
