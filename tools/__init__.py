"""Tools for maintaining the project."""
