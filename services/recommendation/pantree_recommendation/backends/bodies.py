"""Request and response bodies of a SageMaker endpoint, for this service and for our container.

    application/json        {"instances": [{"name": "Bananas", …}, …]}    {"predictions": [0.83, …]}
    application/jsonlines   {"name": "Bananas", …}                        {"prediction": 0.83}
    text/csv                Bananas,produce,8,7.2,…                       0.83

There is one line or instance per item, in order. CSV has no header; its columns are `FEATURES`. Floats round-trip
exactly in all three formats.
"""

import csv
import dataclasses
import enum
import io
import json
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model

from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.core.ranking import FEATURES, ItemFeatures, RankerFailure

# InvokeEndpoint's limit for the body of a request, and our own limit for a response.
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html
MAX_BODY_BYTES = 6_291_456
# A body may have thousands of invalid lines; only the first ones are reported.
MAX_PROBLEMS = 50


class BodyFormat(enum.StrEnum):
    """Content types of bodies."""

    JSON = "application/json"
    JSON_LINES = "application/jsonlines"
    CSV = "text/csv"


def _whole_number(value: object) -> object:
    """Converts floats like 3.0, since some programs write all numbers as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_FIELD_TYPES: dict[type, Any] = {
    str: Annotated[str, Field(strict=True)],
    int: Annotated[int, Field(strict=True), BeforeValidator(_whole_number)],
    float: Annotated[float, Field(strict=True, allow_inf_nan=False)],
}
_TYPES: dict[str, type] = typing.get_type_hints(ItemFeatures)
_FIELDS: dict[str, Any] = {name: (_FIELD_TYPES[type_], ...) for name, type_ in _TYPES.items()}
_Item: type[BaseModel] = create_model("Item", **_FIELDS)

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_JSON_PREFIX, _JSON_SUFFIX = b'{"instances":[', b"]}"


class MalformedBody(Exception):
    """A body has invalid items. `problems` are their positions, counted from 1, and descriptions."""

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        super().__init__("; ".join(f"{position}: {problem}" for position, problem in problems))
        self.problems = tuple(problems)


def request_bodies(
    items: Iterable[ItemFeatures], body_format: BodyFormat = BodyFormat.JSON, max_body_bytes: int = MAX_BODY_BYTES
) -> Iterator[tuple[bytes, int]]:
    """As few bodies as the limit allows, in order, each with its number of items.

    An item that exceeds the limit by itself gets a body of its own.
    """
    is_json = body_format is BodyFormat.JSON
    prefix, separator, suffix = (_JSON_PREFIX, b",", _JSON_SUFFIX) if is_json else (b"", b"\n", b"\n")
    encode = _csv_line if body_format is BodyFormat.CSV else _json_line
    lines: list[bytes] = []
    size = len(prefix) + len(suffix)
    for item in items:
        line = encode(item)
        if lines and size + len(separator) + len(line) > max_body_bytes:
            yield prefix + separator.join(lines) + suffix, len(lines)
            lines, size = [], len(prefix) + len(suffix)
        size += len(line) + (len(separator) if lines else 0)
        lines.append(line)
    if lines:
        yield prefix + separator.join(lines) + suffix, len(lines)


def items_of(body: bytes, body_format: BodyFormat) -> list[ItemFeatures]:
    """The items of a body, in order; unknown fields are ignored.

    Raises:
        MalformedBody: with up to `MAX_PROBLEMS` invalid items.
    """
    entries: Sequence[Any] = _instances(body) if body_format is BodyFormat.JSON else _lines(body)
    items: list[ItemFeatures] = []
    problems: list[tuple[int, str]] = []
    for position, entry in enumerate(entries, start=1):
        try:
            items.append(item_of(entry, body_format))
        except ValueError as error:
            problems.append((position, str(error)))
            if len(problems) == MAX_PROBLEMS:
                break
    if problems:
        raise MalformedBody(problems)
    return items


def item_of(entry: Any, body_format: BodyFormat) -> ItemFeatures:
    """The item in a JSON object (JSON) or a line; unknown fields are ignored.

    Raises:
        ValueError: when a field is invalid; the message names all invalid fields.
    """
    try:
        if body_format is BodyFormat.JSON_LINES:
            item = _Item.model_validate_json(entry)
        else:
            item = _Item.model_validate(_columns(entry) if body_format is BodyFormat.CSV else entry)
    except ValidationError as error:
        raise ValueError(problems_of(error)) from None
    return ItemFeatures(**vars(item))


def scores_body(scores: Sequence[float], body_format: BodyFormat) -> bytes:
    """Response body with the scores, in order."""
    if body_format is BodyFormat.JSON:
        return json.dumps({"predictions": list(scores)}, separators=(",", ":")).encode()
    if body_format is BodyFormat.CSV:
        return "".join(f"{score!r}\n" for score in scores).encode()
    return "".join(f'{{"prediction":{score!r}}}\n' for score in scores).encode()


def predictions(response: bytes, count: int, body_format: BodyFormat = BodyFormat.JSON) -> list[float]:
    """The `count` scores in the response of an endpoint, which is not trusted.

    Raises:
        RankerFailure: unless the response has `count` numbers from 0 to 1.
    """
    try:
        scores = _READERS[body_format](response)
    except (ValueError, RecursionError):
        language = "JSON" if body_format is BodyFormat.JSON else body_format.value
        raise RankerFailure(f"SageMaker's model returned invalid {language}; it must return {body_format}") from None
    if not isinstance(scores, list):
        raise RankerFailure('SageMaker\'s model returned no list of "predictions"')
    if len(scores) != count:
        raise RankerFailure(f"SageMaker's model returned {len(scores):,} predictions for {count:,} items")
    for position, score in enumerate(scores, start=1):
        # NaN fails the comparison; a bool would pass it.
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
            raise RankerFailure(f"SageMaker's model returned no number from 0 to 1 for item {position:,}")
    return [float(score) for score in scores]


def _json_scores(response: bytes) -> object:
    content = json.loads(response)
    return content.get("predictions") if isinstance(content, dict) else None


def _line_scores(response: bytes) -> object:
    contents = [json.loads(line) for line in _lines(response)]
    return [content.get("prediction") if isinstance(content, dict) else None for content in contents]


def _csv_scores(response: bytes) -> object:
    return [float(line) for line in _lines(response)]


_READERS: dict[BodyFormat, Callable[[bytes], object]] = {
    BodyFormat.JSON: _json_scores,
    BodyFormat.JSON_LINES: _line_scores,
    BodyFormat.CSV: _csv_scores,
}


def _json_line(item: ItemFeatures) -> bytes:
    return json.dumps(dataclasses.asdict(item), ensure_ascii=False, separators=(",", ":")).encode()


def _csv_line(item: ItemFeatures) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([getattr(item, column) for column in FEATURES])
    return line.getvalue().encode()


def _lines(body: bytes) -> list[bytes]:
    """The lines of a body, including empty ones between them.

    Empty lines at the end are no items: files often end with several line ends, and batch transform passes them on.
    """
    content = body.rstrip(b"\r\n")
    return content.split(b"\n") if content else []


def _instances(body: bytes) -> list[object]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        place = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedBody([(1, f"the body is not valid JSON{place}")]) from None
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise MalformedBody([(1, 'the body must have a list of "instances"')])
    return instances


def _columns(line: bytes) -> dict[str, str | float]:
    """The values of a CSV line by column; invalid numbers stay strings, so that validation reports them."""
    try:
        # Some programs write "\r" before "\n". A line is one item, even inside quotes.
        rows = list(csv.reader([line.decode().removesuffix("\r")], strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise ValueError("is not valid CSV in UTF-8") from None
    texts = rows[0] if rows else []
    if len(texts) != len(FEATURES):
        raise ValueError(f"must have {len(FEATURES)} columns, {', '.join(FEATURES)}; has {len(texts)}")
    # `float` also accepts 1_000, nan and digits of other scripts.
    return {
        name: float(text) if _TYPES[name] is not str and _NUMBER.fullmatch(text) else text
        for name, text in zip(FEATURES, texts, strict=True)
    }
