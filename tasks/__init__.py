"""The stages as cached work: what each reads and writes, its key, and the store of results."""
