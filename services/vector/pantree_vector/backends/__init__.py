"""Implementations of the core's ports, one file each; each imports its own library."""
