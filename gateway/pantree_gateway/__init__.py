"""The gateway: REST and WebSocket routes with documentation, derived from the contract."""
