"""Fits the models of the frequency service on the histories of many households."""
