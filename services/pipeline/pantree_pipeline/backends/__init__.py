"""The other services, reached over gRPC, as the pipeline's core sees them."""
