"""The vector service: finds similar items and similar customers."""
