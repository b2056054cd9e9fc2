"""Fits models on purchase histories and measures them. Needs the extra `fitting`; no service imports it."""
