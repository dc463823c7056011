"""Which stages run, in what order, and the command line."""
