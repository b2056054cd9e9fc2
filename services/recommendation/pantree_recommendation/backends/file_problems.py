"""Wrong fields of a file, from pydantic's errors."""

from pydantic import ValidationError


def problems_of(error: ValidationError) -> str:
    """What is wrong, with the path of each field: `shares[0].ratio: Input should be a valid number`."""
    return "; ".join(": ".join(filter(None, (_path(problem["loc"]), problem["msg"]))) for problem in error.errors())


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
