"""The server interceptor of every part. It makes all checks, so that each call passes through a single wrapper."""
