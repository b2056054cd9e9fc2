"""Stores of purchases, one file per database."""
