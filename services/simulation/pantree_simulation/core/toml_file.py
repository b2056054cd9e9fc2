"""Reads TOML files into pydantic dataclasses."""

import json
import tomllib
from typing import TypeVar, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass

SectionT = TypeVar("SectionT")

_CONFIG = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True)
def section(cls: type[SectionT]) -> type[SectionT]:
    """Makes a class a frozen dataclass for a table of a file: no missing or unknown fields, and only finite numbers."""
    return dataclass(frozen=True, config=_CONFIG)(cls)  # type: ignore[return-value]


def parse_toml(text: str, kind: type[SectionT]) -> SectionT:
    """The content of a file as an instance of the section that describes it.

    Raises:
        ValueError: the text is not TOML, or fields are missing, unknown or invalid; names each of them.
    """
    document = tomllib.loads(text)
    try:
        # In strict mode, pydantic creates dataclasses from JSON but not from dictionaries.
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(document, default=str))
    except pydantic.ValidationError as error:
        raise ValueError(
            "; ".join(f"{_path(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        ) from None


def _path(location: tuple[int | str, ...]) -> str:
    """Path of a field, such as `archetypes[0].promotion_ratio`."""
    keys = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in location if key != "[key]"]
    return "".join(keys).removeprefix(".")
