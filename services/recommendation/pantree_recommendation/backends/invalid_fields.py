"""Descriptions of invalid fields, from pydantic's errors."""

from collections import defaultdict

from pydantic import ValidationError


def problems_of(error: ValidationError) -> str:
    """Description of all invalid fields, like `shares[0].ratio: Input should be a valid number`."""
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for problem in error.errors():
        parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]]
        paths[problem["msg"]].append("".join(parts).removeprefix("."))
    return "; ".join(f"{', '.join(of)}: {message}" if any(of) else message for message, of in paths.items())
