"""Checks of responses against schemas."""

import functools
from typing import Any

from jsonschema import Draft202012Validator

from pantree_gateway.app import create_app
from pantree_gateway.settings import GatewaySettings


def assert_is_schema(schema: Any) -> None:
    """Fails when a schema is malformed."""
    Draft202012Validator.check_schema(schema)


def assert_valid(value: Any, schema: Any) -> None:
    """Fails with the first difference between a value and a schema."""
    Draft202012Validator(schema).validate(value)


@functools.cache
def _frame_validators(channel: str) -> dict[str, Draft202012Validator]:
    document = create_app(GatewaySettings()).state.asyncapi
    reply = document["operations"][channel]["reply"]["messages"]
    keys = [message["$ref"].rpartition("/")[2] for message in reply]
    return {
        key: Draft202012Validator(
            {**document["components"]["messages"][f"{channel}_{key}"]["payload"], "components": document["components"]}
        )
        for key in keys
    }


def assert_frame_valid(frame: Any, channel: str = "StreamProcess") -> None:
    """Fails when the AsyncAPI document has no such frame."""
    _frame_validators(channel)[frame["type"]].validate(frame)


def checked(frame: Any) -> Any:
    """The frame; fails when the AsyncAPI document does not allow it."""
    assert_frame_valid(frame)
    return frame
