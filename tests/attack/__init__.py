"""Attacks on a running mesh whose parts have the memory and the CPU of the manifests."""
