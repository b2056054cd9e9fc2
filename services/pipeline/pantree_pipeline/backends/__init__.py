"""gRPC clients of the other services, which implement the ports of the core."""
