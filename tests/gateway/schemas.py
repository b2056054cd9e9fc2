"""Checks of answers against schemas."""

from typing import Any

from jsonschema import Draft202012Validator


def assert_is_schema(schema: Any) -> None:
    """Fails when a schema is none."""
    Draft202012Validator.check_schema(schema)


def assert_valid(value: Any, schema: Any) -> None:
    """Fails with the first difference when a value does not fit a schema."""
    Draft202012Validator(schema).validate(value)
