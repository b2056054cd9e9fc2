"""Serves gRPC methods as REST and WebSocket routes, from the `google.api.http` annotations of their contract.

What it does for one method, from outside in: `rest` and `websocket` are the routes, `openapi` describes them with the
texts of `comments`; `binding` makes a request message of an HTTP request, after the rule that `http_rule` read;
`json_codec` turns JSON into messages and back; `problem` tells what went wrong.

Nothing here knows a service by name: whoever adds an annotated method gets its routes without a change.
"""
