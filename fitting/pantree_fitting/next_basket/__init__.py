"""Fits and measures next-basket models of the recommendation service."""
