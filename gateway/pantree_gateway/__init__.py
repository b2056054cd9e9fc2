"""The gateway: REST, WebSocket and their documentation, translated from the contract."""
