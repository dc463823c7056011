"""Stages as cached work: what each one reads, its key, and the store of results."""
