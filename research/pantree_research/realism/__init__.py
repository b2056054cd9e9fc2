"""Compares simulated baskets with real ones (`make realism`)."""
