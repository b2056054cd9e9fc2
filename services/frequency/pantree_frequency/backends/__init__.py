"""Model files and Arrow tables."""
