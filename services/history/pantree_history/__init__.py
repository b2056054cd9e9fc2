"""The history service: stores the purchases of households for good, and erases them for good."""
