"""The ports of the pipeline's core, implemented with gRPC calls to the other services."""
