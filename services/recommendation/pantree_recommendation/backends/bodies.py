"""Items and scores as bodies: what goes to a SageMaker endpoint, and what our own container takes.

    application/json        {"instances": [{"name": "Bananas", …}, …]}    {"predictions": [0.83, …]}
    application/jsonlines   {"name": "Bananas", …}                        {"prediction": 0.83}
    text/csv                Bananas,produce,8,7.2,…                       0.83

One line or instance for each item, in order. CSV has no header and the columns of `ItemFeatures` in their order. All
three give the same numbers: Python writes a float so that it reads back equal.
"""

import csv
import dataclasses
import enum
import io
import json
import math
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pantree_recommendation.core import ItemFeatures, RankerFailure

# Limit of InvokeEndpoint on the body of a request, and as much as is read of an answer.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
MAX_BODY_BYTES = 6_291_456
# A body with thousands of bad lines is told about the first ones only.
MAX_PROBLEMS = 50


class BodyFormat(enum.StrEnum):
    """Content types."""

    JSON = "application/json"
    JSON_LINES = "application/jsonlines"
    CSV = "text/csv"


_TYPES: dict[str, type] = typing.get_type_hints(ItemFeatures)
COLUMNS = tuple(field.name for field in dataclasses.fields(ItemFeatures))
"""Names of the columns of a CSV line, in order."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BEFORE, _AFTER = b'{"instances":[', b"]}"


class MalformedBody(Exception):
    """A body does not hold items; `problems` are the positions, counted from 1, and what is wrong there."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"{position}: {problem}" for position, problem in problems))
        self.problems = tuple(problems)


class _Problem(ValueError):
    pass


def request_bodies(
    items: Iterable[ItemFeatures], body_format: BodyFormat = BodyFormat.JSON, max_body_bytes: int = MAX_BODY_BYTES
) -> Iterator[tuple[bytes, int]]:
    """Bodies that hold all items in order, each with its number of items; as few bodies as the limit allows.

    Args:
        items: what the model sees.
        body_format: how they are written.
        max_body_bytes: limit of a body; an item that is over it alone gets a body of its own.
    """
    before, between, after = (_BEFORE, b",", _AFTER) if body_format is BodyFormat.JSON else (b"", b"\n", b"\n")
    part: list[bytes] = []
    size = len(before) + len(after)
    for item in items:
        encoded = _csv_line(item) if body_format is BodyFormat.CSV else _json_line(item)
        if part and size + len(between) + len(encoded) > max_body_bytes:
            yield before + between.join(part) + after, len(part)
            part, size = [], len(before) + len(after)
        size += len(encoded) + (len(between) if part else 0)
        part.append(encoded)
    if part:
        yield before + between.join(part) + after, len(part)


def items_of(body: bytes, body_format: BodyFormat) -> list[ItemFeatures]:
    """The items of a body, in order. Fields that this service does not know are left out of account.

    Raises:
        MalformedBody: naming every item that is wrong, up to `MAX_PROBLEMS`.
    """
    if body_format is BodyFormat.JSON:
        return _items(_instances(body), item_of_object)
    read = _item_of_csv if body_format is BodyFormat.CSV else _item_of_line
    return _items(_lines(body), read)


def scores_body(scores: Sequence[float], body_format: BodyFormat) -> bytes:
    """Body that holds scores, one for each item, in order."""
    if body_format is BodyFormat.JSON:
        return json.dumps({"predictions": list(scores)}, separators=(",", ":")).encode()
    if body_format is BodyFormat.CSV:
        return "".join(f"{score!r}\n" for score in scores).encode()
    return "".join(f'{{"prediction":{score!r}}}\n' for score in scores).encode()


def predictions(reply: bytes, count: int, body_format: BodyFormat = BodyFormat.JSON) -> list[float]:
    """Scores that an endpoint's reply holds.

    Args:
        reply: body of the reply; data that nobody has checked.
        count: number of items that were sent.
        body_format: what was asked for.

    Raises:
        RankerFailure: when it does not hold `count` numbers from 0 to 1.
    """
    try:
        scores = _READERS[body_format](reply)
    except (ValueError, RecursionError):
        told = "JSON" if body_format is BodyFormat.JSON else body_format.value
        raise RankerFailure(f"SageMaker's model gave no valid {told}; it must answer {body_format}") from None
    if not isinstance(scores, list):
        raise RankerFailure('SageMaker\'s model gave no list of "predictions"')
    if len(scores) != count:
        raise RankerFailure(f"SageMaker's model gave {len(scores):,} predictions for {count:,} items")
    for position, score in enumerate(scores):
        # NaN fails the comparison; a bool would pass it.
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise RankerFailure(f"SageMaker's model gave no number from 0 to 1 for item {position}")
    return [float(score) for score in scores]


def _json_scores(reply: bytes) -> object:
    content = json.loads(reply)
    return content.get("predictions") if isinstance(content, dict) else None


def _line_scores(reply: bytes) -> object:
    contents = [json.loads(line) for line in _lines(reply)]
    return [content.get("prediction") if isinstance(content, dict) else None for content in contents]


def _csv_scores(reply: bytes) -> object:
    return [float(line) for line in _lines(reply)]


_READERS: dict[BodyFormat, Callable[[bytes], object]] = {
    BodyFormat.JSON: _json_scores,
    BodyFormat.JSON_LINES: _line_scores,
    BodyFormat.CSV: _csv_scores,
}


def _json_line(item: ItemFeatures) -> bytes:
    return json.dumps(dataclasses.asdict(item), ensure_ascii=False, separators=(",", ":")).encode()


def _csv_line(item: ItemFeatures) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([getattr(item, column) for column in COLUMNS])
    return line.getvalue().encode()


def _lines(body: bytes) -> list[bytes]:
    """The lines of a body; an end of line after the last one is all right, an empty line is not skipped."""
    lines = body.split(b"\n")
    return lines[:-1] if not lines[-1] else lines


def _instances(body: bytes) -> list[object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedBody([(1, f"the body is no valid JSON{place}")]) from None
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise MalformedBody([(1, 'the body has no list of "instances"')])
    return instances


def _items(entries: Sequence[Any], read: Callable[[Any], ItemFeatures]) -> list[ItemFeatures]:
    items: list[ItemFeatures] = []
    problems: list[tuple[int, str]] = []
    for position, entry in enumerate(entries, start=1):
        try:
            items.append(read(entry))
        except _Problem as problem:
            problems.append((position, str(problem)))
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        raise MalformedBody(problems)
    return items


def _item_of_line(line: bytes) -> ItemFeatures:
    try:
        instance = json.loads(line)
    except (ValueError, RecursionError):
        raise _Problem("is no valid JSON") from None
    return item_of_object(instance)


def item_of_object(instance: object) -> ItemFeatures:
    """The item that a JSON object holds; other fields are left out of account.

    Raises:
        ValueError: saying what is wrong, as the rest of a sentence whose subject is the object.
    """
    if not isinstance(instance, dict):
        raise _Problem("is no JSON object")
    missing = [name for name in COLUMNS if name not in instance]
    if missing:
        raise _Problem(f"lacks {', '.join(missing)}")
    values: dict[str, Any] = {name: _of_json(name, instance[name]) for name in COLUMNS}
    return ItemFeatures(**values)


def _of_json(name: str, value: object) -> str | int | float:
    type_ = _TYPES[name]
    if type_ is str:
        if not isinstance(value, str):
            raise _Problem(f"{name} is no text")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Problem(f"{name} is no number")
    return _number(name, value, type_)


def _item_of_csv(line: bytes) -> ItemFeatures:
    try:
        # With the "\r" that some programs write before "\n"; a line ends where the item ends, quotes or not.
        rows = list(csv.reader([line.decode().removesuffix("\r")], strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise _Problem("is no valid CSV in UTF-8") from None
    texts = rows[0] if rows else []
    if len(texts) != len(COLUMNS):
        raise _Problem(f"has {len(texts)} columns; give {len(COLUMNS)}: {', '.join(COLUMNS)}")
    values: dict[str, Any] = {name: _of_text(name, text) for name, text in zip(COLUMNS, texts, strict=True)}
    return ItemFeatures(**values)


def _of_text(name: str, value: str) -> str | int | float:
    type_ = _TYPES[name]
    if type_ is str:
        return value
    if not _NUMBER.fullmatch(value):  # `float` takes more: 1_000, nan, digits of other scripts
        raise _Problem(f"{name} is no number")
    return _number(name, float(value), type_)


def _number(name: str, value: int | float, type_: type) -> int | float:
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        finite = False
    if not finite:
        raise _Problem(f"{name} is not finite")
    if type_ is float:
        return float(value)
    if value != int(value):
        raise _Problem(f"{name} is no whole number")
    return int(value)
