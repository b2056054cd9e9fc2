"""A server of the OpenAI chat API with a quirk of real ones: `python -m tests.enrichment.quirky_server QUIRK PORT`.

Each quirk is a way in which llama.cpp, vLLM, NIM, Ollama or a proxy of OpenAI's own API differs from the others.
"""

import json
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.enrichment.nim_stub import entry, items_of, mode_of

Call = dict[str, Any]
Items = list[dict[str, Any]]
# Status, content type and body of a response.
Reply = tuple[int, str, bytes]


def reply_json(document: object, status: int = 200) -> Reply:
    """A response with a JSON document."""
    return status, "application/json", json.dumps(document).encode()


def message(content: Any, **others: Any) -> Reply:
    """A chat completion with one message."""
    return reply_json({"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **others}}]})


def refusal(text: str, status: int = 400) -> Reply:
    """An error in OpenAI's form."""
    return reply_json({"error": {"message": text, "type": "invalid_request_error"}}, status)


def document(items: Items) -> str:
    """A usable answer about all items, one entry per line."""
    return '{"items": [\n' + ",\n".join(json.dumps(entry(item)) for item in items) + "\n]}"


def events(text: str, *, key: str = "content", end: str = "data: [DONE]\n\n") -> Reply:
    """A streamed answer, seven characters per chunk."""
    chunks = [
        f"data: {json.dumps({'choices': [{'index': 0, 'delta': {key: text[at : at + 7]}}]})}\n\n"
        for at in range(0, len(text), 7)
    ]
    usage = 'data: {"choices": [], "usage": {"completion_tokens": 9}}\n\n'
    return 200, "text/event-stream; charset=utf-8", ("".join(chunks) + usage + end).encode()


def refuse_if(is_refused: Callable[[Call], bool], answer: Reply) -> Callable[[Call, Items], Reply]:
    """Answers calls without something, and refuses the others."""
    return lambda call, items: answer if is_refused(call) else message(document(items))


def _roles(call: Call) -> list[str]:
    return [one["role"] for one in call["messages"]]


def _has_schema(call: Call) -> bool:
    return mode_of(call) in ("response_format", "plain_schema")


def _one_based(items: Items) -> str:
    return json.dumps({"items": [entry(item, index=item["index"] + 1) for item in items]})


def _changed(**changes: Any) -> Callable[[Call, Items], Reply]:
    return lambda call, items: message(json.dumps({"items": [entry(item, **changes) for item in items]}))


def _context(call: Call, items: Items) -> Reply:
    if len(items) > 2:
        text = "request (2176 tokens) exceeds the available context size (2048 tokens), try increasing it"
        return refusal(text)
    return message(document(items))


QUIRKS: Mapping[str, Callable[[Call, Items], Reply]] = {
    # Refused fields, with and without a helpful message.
    "no system role": refuse_if(lambda call: "system" in _roles(call), refusal("System role not supported")),
    "alternating roles": refuse_if(
        lambda call: "system" in _roles(call),
        refusal("Conversation roles must alternate user/assistant/user/assistant/...", 500),
    ),
    "no max_tokens": refuse_if(
        lambda call: "max_tokens" in call,
        refusal("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
    ),
    "no max_tokens, unexplained": refuse_if(lambda call: "max_tokens" in call, (422, "text/plain", b"")),
    "no token limit": refuse_if(
        lambda call: "max_tokens" in call or "max_completion_tokens" in call, refusal("max_tokens is not permitted")
    ),
    "no temperature 0": refuse_if(
        lambda call: "temperature" in call, refusal("temperature (=0) has to be strictly positive")
    ),
    "no temperature, unexplained": refuse_if(lambda call: "temperature" in call, (400, "text/plain", b"Bad Request")),
    "no streaming": refuse_if(lambda call: "stream" in call, refusal("streaming is not enabled for this model")),
    "no limits in schemas": refuse_if(
        lambda call: mode_of(call) in ("response_format", "nvext"), refusal("maxLength is not implemented")
    ),
    "grammar fails with 500": refuse_if(
        lambda call: mode_of(call) == "response_format", refusal("failed to parse grammar", 500)
    ),
    "no json_schema": refuse_if(_has_schema, refusal("response_format.type must be 'text' or 'json_object'")),
    "no json_schema, no nvext": refuse_if(
        lambda call: _has_schema(call) or "nvext" in call, refusal("Extra inputs are not permitted", 422)
    ),
    "no structured output": refuse_if(
        lambda call: "response_format" in call or "nvext" in call, refusal("unknown field", 400)
    ),
    "only nvext": refuse_if(lambda call: "nvext" not in call, refusal("use nvext.guided_json")),
    "only model and messages": refuse_if(
        lambda call: set(call) != {"model", "messages"} or "system" in _roles(call), (400, "text/html", b"<h1>400</h1>")
    ),
    "FastAPI detail": refuse_if(
        lambda call: "stream" in call,
        reply_json({"detail": [{"loc": ["body", "stream"], "msg": "Extra inputs are not permitted"}]}, 422),
    ),
    "error with status 200": refuse_if(
        lambda call: "temperature" in call, reply_json({"object": "error", "message": "temperature must be positive"})
    ),
    "small context": _context,
    # Wrappers around the answer.
    "code block": lambda call, items: message(f"```json\n{document(items)}\n```"),
    "preface": lambda call, items: message(f'Here\'s the "JSON" {{as asked}}:\n{document(items)}\nAnything else?'),
    "reasoning": lambda call, items: message(
        f"<think>\n{document([{**item, 'index': 9} for item in items])}\n</think>\n{document(items)}"
    ),
    "reasoning without start": lambda call, items: message(f"The user wants JSON.\n</think>\n{document(items)}"),
    "answer as reasoning_content": lambda call, items: message(None, reasoning_content=document(items)),
    "reasoning next to the answer": lambda call, items: message(document(items), reasoning_content="Hm {"),
    "content as parts": lambda call, items: message([{"type": "text", "text": document(items)}]),
    "tool call": lambda call, items: message(
        None, tool_calls=[{"type": "function", "function": {"name": "items", "arguments": document(items)}}]
    ),
    "bare list": lambda call, items: message(json.dumps([entry(item) for item in items])),
    "JSON lines": lambda call, items: message("\n".join(json.dumps(entry(item)) for item in items)),
    "indented": lambda call, items: message(json.dumps({"items": [entry(item) for item in items]}, indent=4)),
    "escaped": lambda call, items: message(json.dumps({"items": [entry(item) for item in items]}, ensure_ascii=True)),
    # Values.
    "whole numbers as floats": _changed(suggested_interval_days=21.0, certainty_ratio=1),
    "indices as texts": lambda call, items: message(
        json.dumps({"items": [entry(item, index=str(item["index"])) for item in items]})
    ),
    "indices from 1": lambda call, items: message(_one_based(items)),
    "no indices": lambda call, items: message(
        json.dumps({"items": [{k: v for k, v in entry(item).items() if k != "index"} for item in items]})
    ),
    "capitals": _changed(category="Snacks", perishability="Months", interval_reason="Used_Now_And_Then"),
    "names in other case": lambda call, items: message(
        json.dumps({"items": [entry(item, name=item["name"].upper()) for item in items]})
    ),
    "other fields": _changed(comment="tasty", nested={"items": [1]}),
    "too many related items": _changed(complements=["Milk", "x" * 99, *["Bananas"] * 20]),
    "other order": lambda call, items: message(json.dumps({"items": [entry(item) for item in reversed(items)]})),
    # Streams.
    "streamed": lambda call, items: events(document(items)),
    "streamed without end": lambda call, items: events(document(items), end=""),
    "streamed reasoning": lambda call, items: events(f"<think>Hm {{</think>{document(items)}"),
    "streamed with CRLF": lambda call, items: (
        200,
        "text/event-stream",
        events(document(items))[2].replace(b"\n", b"\r\n"),
    ),
    "streamed as one chunk": lambda call, items: (
        200,
        "text/event-stream",
        b"data: " + message(document(items))[2] + b"\n\ndata: [DONE]\n\n",
    ),
}
"""Response to a call, by quirk. In all of them, every item gets a usable answer."""


def main(quirk: str, port: int) -> None:
    """Serves until the process is terminated."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, content_type, body = QUIRKS[quirk](call, items_of(call))
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
