"""Side-by-side measurements, each one command (see README.md beside this file)."""
