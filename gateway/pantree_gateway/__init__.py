"""The gateway: REST, WebSocket and their documentation, from the contract."""
