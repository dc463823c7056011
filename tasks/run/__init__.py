"""A run: what it is asked for, and how a Prefect task computes its requests."""
