"""The form of a call to a chat API, which is adapted to what a server accepts.

Servers of the same API refuse different fields: a schema with limits, any schema, `max_tokens`, `temperature`, the
system role, streaming. A call begins with the form that constrains the model most. When a server refuses it, its
message decides what to change; without a helpful message, one change after the other is tried.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pantree_enrichment.backends.reply import reply_schema

_SCHEMA_NAME = "enriched_items"


class StructuredOutputMode(enum.Enum):
    """How a call constrains a model to a schema, strictest first."""

    RESPONSE_FORMAT = "response_format"
    """OpenAI, vLLM, llama.cpp, NIM 2.x."""
    PLAIN_SCHEMA = "response_format without limits"
    """Servers whose grammars have no limits of sizes and numbers."""
    GUIDED_JSON = "nvext.guided_json"
    """NIM 1.x."""
    JSON_OBJECT = "json_object"
    """Any JSON document."""
    TEXT = "none"
    """The prompt alone."""

    @property
    def fields(self) -> dict[str, Any]:
        """Fields of a call that request this mode."""
        match self:
            case StructuredOutputMode.GUIDED_JSON:
                return {"nvext": {"guided_json": reply_schema()}}
            case StructuredOutputMode.JSON_OBJECT:
                return {"response_format": {"type": "json_object"}}
            case StructuredOutputMode.TEXT:
                return {}
        schema = reply_schema(with_limits=self is StructuredOutputMode.RESPONSE_FORMAT)
        json_schema = {"name": _SCHEMA_NAME, "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


_MODES = tuple(StructuredOutputMode)


@dataclass(frozen=True)
class RequestForm:
    """What a call contains in addition to model and items."""

    mode: StructuredOutputMode = StructuredOutputMode.RESPONSE_FORMAT
    limit_field: str = "max_tokens"
    """Name of the field that limits the reply; empty for none."""
    has_temperature: bool = True
    has_system_role: bool = True
    """Whether the prompt is a message of its own; otherwise it is the start of the user's message."""
    is_streamed: bool = True

    def __str__(self) -> str:
        parts = [
            f"structured output: {self.mode.value}",
            f"token limit: {self.limit_field or 'none'}",
            *([] if self.has_temperature else ["no temperature"]),
            *([] if self.has_system_role else ["no system role"]),
            *([] if self.is_streamed else ["not streamed"]),
        ]
        return ", ".join(parts)

    def body(self, model: str, prompt: str, items: str, max_tokens: int) -> dict[str, Any]:
        """Body of a call."""
        if self.has_system_role:
            messages = [{"role": "system", "content": prompt}, {"role": "user", "content": items}]
        else:
            messages = [{"role": "user", "content": f"{prompt}\n\n{items}"}]
        return {
            "model": model,
            "messages": messages,
            **({"temperature": 0} if self.has_temperature else {}),
            **({self.limit_field: max_tokens} if self.limit_field else {}),
            **({"stream": True} if self.is_streamed else {}),
            **self.mode.fields,
        }

    @property
    def with_next_mode(self) -> "RequestForm | None":
        """This form with the next less strict mode; None if there is none."""
        at = _MODES.index(self.mode) + 1
        return replace(self, mode=_MODES[at]) if at < len(_MODES) else None


DEFAULT_FORM = RequestForm()
_MINIMAL_FORM = RequestForm(
    StructuredOutputMode.TEXT, limit_field="", has_temperature=False, has_system_role=False, is_streamed=False
)
_SCHEMA_WORDS = ("response_format", "json_schema", "schema", "grammar", "guided", "nvext", "structured", "json_object")
# Limits that grammars of some servers lack.
_LIMIT_WORDS = (
    "minlength",
    "maxlength",
    "minitems",
    "maxitems",
    "minimum",
    "maximum",
    "not implemented",
    "unsupported",
)


class FormSearch:
    """Finds a form that a server accepts.

    Args:
        start: the form to try first.
    """

    def __init__(self, start: RequestForm) -> None:
        self.form = start
        """The form to try now."""
        self._base = start
        self._tried = [start]

    def refuse(self, message: str) -> bool:
        """Moves on to another form. Returns False if all were tried.

        Args:
            message: what the server said about the refused form; may be empty.
        """
        hinted = [form for form in _hinted(self.form, message.casefold()) if form not in self._tried]
        blind = [form for form in (*_changes(self._base), _MINIMAL_FORM) if form not in self._tried]
        if not (hinted or blind):
            return False
        if hinted:
            self._base = hinted[0]
        self.form = (hinted or blind)[0]
        self._tried.append(self.form)
        return True


def _hinted(form: RequestForm, message: str) -> Iterator[RequestForm]:
    """Changes for which the server's message gives a reason."""
    if "max_completion_tokens" in message and form.limit_field == "max_tokens":
        yield replace(form, limit_field="max_completion_tokens")
    elif form.limit_field and ("max_tokens" in message or form.limit_field in message):
        yield replace(form, limit_field="")
    if "temperature" in message and form.has_temperature:
        yield replace(form, has_temperature=False)
    if form.has_system_role and ("system" in message or "roles must alternate" in message):
        yield replace(form, has_system_role=False)
    if "stream" in message and form.is_streamed:
        yield replace(form, is_streamed=False)
    if any(word in message for word in (*_SCHEMA_WORDS, *_LIMIT_WORDS)) and (less_strict := form.with_next_mode):
        yield less_strict


def _changes(form: RequestForm) -> Iterator[RequestForm]:
    """Forms with one change: first all less strict modes, then without single fields."""
    less_strict = form.with_next_mode
    while less_strict is not None:
        yield less_strict
        less_strict = less_strict.with_next_mode
    if form.limit_field == "max_tokens":
        yield replace(form, limit_field="max_completion_tokens")
    if form.limit_field:
        yield replace(form, limit_field="")
    if form.has_temperature:
        yield replace(form, has_temperature=False)
    if form.has_system_role:
        yield replace(form, has_system_role=False)
    if form.is_streamed:
        yield replace(form, is_streamed=False)
