"""A server of the OpenAI chat API as an `httpx` transport, without a network."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

# Handles a call: its JSON body and its items.
Behavior = Callable[[dict[str, Any], list[dict[str, Any]]], "httpx.Response | Awaitable[httpx.Response]"]


def entry(item: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A usable entry about an item of a call."""
    return {
        "index": item["index"],
        "name": item["name"],
        "category": "snacks",
        "certainty_ratio": 0.9,
        "perishability": "months",
        "suggested_interval_days": 21,
        "interval_reason": "used_now_and_then",
        "complements": ["Milk"],
        "substitutes": [],
        **changes,
    }


def items_of(call: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a call, with the prompt in the same message or not."""
    content = call["messages"][-1]["content"]
    items: list[dict[str, Any]] = json.loads(content[content.rindex('{"items": [') :])["items"]
    return items


def completion(content: str) -> httpx.Response:
    """A chat completion."""
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": content}}]})


def entries(listed: Sequence[Any]) -> httpx.Response:
    """A chat completion that lists entries."""
    return completion(json.dumps({"items": listed}))


def answer(_: dict[str, Any], items: list[dict[str, Any]]) -> httpx.Response:
    """Supports every structured-output mode and answers about all items."""
    return entries([entry(item) for item in items])


def support(mode: str, rejection: httpx.Response) -> Behavior:
    """Answers calls in one structured-output mode and rejects all others."""
    return lambda call, items: answer(call, items) if mode in call else rejection


def status(code: int, **headers: str) -> Behavior:
    """Always returns a status, with a body that must not be passed on."""
    return lambda call, items: httpx.Response(code, text="top-secret", headers=headers)


async def hang(_: dict[str, Any], __: list[dict[str, Any]]) -> httpx.Response:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def mode_of(call: dict[str, Any]) -> str:
    """Structured-output mode of a call."""
    if "nvext" in call:
        return "nvext"
    response_format = call.get("response_format")
    if response_format is None:
        return "text"
    if response_format["type"] == "json_object":
        return "json_object"
    return "response_format" if "maxLength" in json.dumps(response_format) else "plain_schema"


@dataclass
class NimStub:
    """Behavior of the server, which may change, and its calls."""

    behavior: Behavior = answer
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Body of each call."""
    requests: list[httpx.Request] = field(default_factory=list)

    @property
    def names(self) -> list[list[str]]:
        """Names of the items of each call."""
        return [[item["name"] for item in items_of(call)] for call in self.calls]

    @property
    def modes(self) -> list[str]:
        """Structured-output mode of each call."""
        return [mode_of(call) for call in self.calls]

    @property
    def transport(self) -> httpx.MockTransport:
        """Transport to this server."""
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":  # a health check
            response = self.behavior({}, [])
            return response if isinstance(response, httpx.Response) else httpx.Response(200, json={"data": []})
        call = json.loads(request.content)
        if '{"items": [' not in call["messages"][-1]["content"]:  # a health check
            response = self.behavior(call, [])
            return response if isinstance(response, httpx.Response) else await response
        self.requests.append(request)
        self.calls.append(call)
        response = self.behavior(call, items_of(call))
        return response if isinstance(response, httpx.Response) else await response
