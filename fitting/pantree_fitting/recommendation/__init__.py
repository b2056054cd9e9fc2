"""Fits ranking models of the recommendation service on labeled items."""
