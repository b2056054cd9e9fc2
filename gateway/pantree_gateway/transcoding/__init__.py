"""Serves gRPC methods as REST and WebSocket routes, from the `google.api.http` annotations of their contract.

A request travels from `rest` or `websocket` through `binding` and `json_codec`, which make its message, and
`stored_responses` to `upstream`, which calls the method. `openapi` and `asyncapi` describe the routes with the texts of
`comments`; `problem` describes failures.

Nothing here knows a service by name: a new annotated method gets its routes without a change.
"""
