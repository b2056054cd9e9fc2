"""Shared by all servers and callers of the mesh: bootstrap, channels, interceptors, errors, settings, logging.

This module imports nothing, so that `core` packages may use `pantree_runtime.errors` without gRPC.
"""
