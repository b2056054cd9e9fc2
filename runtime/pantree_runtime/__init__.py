"""What every server and caller of the mesh needs: bootstrap, channels, interceptors, errors, settings, logging.

This package imports nothing by itself, so that `core` packages may use `pantree_runtime.errors` without gRPC.
"""
