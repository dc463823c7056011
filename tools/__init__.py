"""What the project is tended with."""
