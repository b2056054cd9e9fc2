"""TOML files that are read into pydantic dataclasses."""

import json
import tomllib
from typing import TypeVar, dataclass_transform

import pydantic
from pydantic.dataclasses import dataclass

SectionT = TypeVar("SectionT")

_CONFIG = pydantic.ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass_transform(frozen_default=True)
def section(cls: type[SectionT]) -> type[SectionT]:
    """Decorator for a table of a file: a frozen dataclass that accepts exactly its fields and finite numbers only."""
    return dataclass(frozen=True, config=_CONFIG)(cls)  # type: ignore[return-value]


def parse_toml(text: str, kind: type[SectionT]) -> SectionT:
    """The content of a file.

    Args:
        text: the file.
        kind: the section that describes the whole file.

    Raises:
        ValueError: when it is not TOML, or fields are missing, unknown or invalid; names each of them.
    """
    document = tomllib.loads(text)
    try:
        # By way of JSON, in which a strict dataclass may be an object.
        return pydantic.TypeAdapter(kind).validate_json(json.dumps(document, default=str))
    except pydantic.ValidationError as error:
        raise ValueError(
            "; ".join(f"{_path(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        ) from None


def _path(location: tuple[int | str, ...]) -> str:
    """Path of a field, such as `archetypes[0].promotion_ratio`."""
    keys = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in location if key != "[key]"]
    return "".join(keys).removeprefix(".")
