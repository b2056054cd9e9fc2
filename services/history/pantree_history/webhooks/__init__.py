"""Webhooks over gRPC, and the data of events."""
