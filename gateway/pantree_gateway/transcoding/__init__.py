"""Serves gRPC methods as REST and WebSocket routes, as their `google.api.http` annotations describe.

A request passes from `rest` or `websocket` through `binding` and `json_codec`, which convert it to a message, and
`stored_responses` to `upstream`, which calls the method. `openapi` and `asyncapi` document the routes with the texts
from `comments`; `problem` describes failures.

Nothing here refers to a service by name: a new annotated method gets its routes without a change.
"""
