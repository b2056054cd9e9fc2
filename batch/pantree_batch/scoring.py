"""Runs a method over sorted receipt lines: a function from record batches to record batches that any engine can run.

It needs all lines of a household in one run of consecutive lines, in the order of `LINES`. Nothing else depends on how
lines are divided into batches or households among processes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from pantree_batch.backtest import Backtest
from pantree_batch.errors import InvalidTable
from pantree_batch.household import MAX_LINES, Household, HouseholdRejected, Key, rejection_of
from pantree_batch.method import HouseholdScorer, Method, RunOptions
from pantree_batch.offers import Offers
from pantree_runtime.errors import PantreeError

CHUNK_HOUSEHOLDS = 64
_CHUNK_LINES = 50_000


@dataclass(frozen=True)
class Safeguards:
    """How households are handled in a bucket whose process has ended unexpectedly."""

    skipped: frozenset[Key] = frozenset()
    """Households at which processes ended."""
    before_each: Callable[[Key], None] | None = None
    """Called before each household, which is then scored alone."""


def score_batches(
    batches: Iterable[pa.RecordBatch],
    scorer: HouseholdScorer,
    options: RunOptions,
    safeguards: Safeguards = Safeguards(),
) -> Iterator[pa.RecordBatch]:
    """One row per household, in order, with the columns of the method.

    Args:
        batches: lines with the columns of `LINES`, in its order.
        scorer: scores households.
        options: of the run.
        safeguards: after a process has ended.

    Raises:
        InvalidTable: if the lines are not in order.
    """
    chunk: list[Household] = []
    lines = 0
    max_households = CHUNK_HOUSEHOLDS if safeguards.before_each is None else 1
    for household in _households(batches):
        chunk.append(household)
        lines += min(household.line_count, MAX_LINES)
        if len(chunk) == max_households or lines >= _CHUNK_LINES:
            yield _scored(chunk, scorer, options, safeguards)
            chunk, lines = [], 0
    if chunk:
        yield _scored(chunk, scorer, options, safeguards)


def _households(batches: Iterable[pa.RecordBatch]) -> Iterator[Household]:
    current: Household | None = None
    last_line = (-1, -1)
    for batch in batches:
        if not batch.num_rows:
            continue
        names, tenants = batch["household"], batch["tenant_id"]
        starts = np.ones(batch.num_rows, bool)
        if batch.num_rows > 1:
            starts[1:] = _differs(names) | _differs(tenants)
        days = batch["date"].cast(pa.int32()).to_numpy()
        line_ids = batch["line_id"].to_numpy()
        backwards = (days[1:] < days[:-1]) | ((days[1:] == days[:-1]) & (line_ids[1:] <= line_ids[:-1]))
        begins = np.flatnonzero(starts).tolist()
        for begin, end in zip(begins, [*begins[1:], batch.num_rows], strict=True):
            key = names[begin].as_py(), tenants[begin].as_py()
            first_line = int(days[begin]), int(line_ids[begin])
            if backwards[begin : end - 1].any():
                raise _not_sorted(key)
            if current is None or key != current.key:
                if current is not None:
                    if key < current.key:
                        raise _not_sorted(key)
                    yield current
                current = Household(key)
            elif first_line <= last_line:
                raise _not_sorted(key)
            current.add(batch.slice(begin, end - begin))
            last_line = int(days[end - 1]), int(line_ids[end - 1])
    if current is not None:
        yield current


def _differs(values: pa.Array) -> Any:
    return pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy(zero_copy_only=False)


def _not_sorted(key: Key) -> InvalidTable:
    return InvalidTable(
        f"lines are not sorted by household, tenant_id, date and line_id: household {key[0]!r} comes after a later one;"
        " the engine dropped a sort, or the table was not written by pantree batch layout"
    )


def method_of(options: RunOptions) -> Method[Any, Any]:
    """What a run does with each household."""
    return Offers() if options.week_count is None else Backtest()


def _scored(
    chunk: Sequence[Household], scorer: HouseholdScorer, options: RunOptions, safeguards: Safeguards
) -> pa.RecordBatch:
    method = method_of(options)
    outcomes: list[Any] = [_request_or_error(method, household, options, safeguards) for household in chunk]
    requested = [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, Exception)]
    if safeguards.before_each is not None:
        for at in requested:
            safeguards.before_each(chunk[at].key)
    for at, outcome in zip(requested, _outcomes(method, [outcomes[at] for at in requested], scorer), strict=True):
        outcomes[at] = outcome
    rows = []
    for household, outcome in zip(chunk, outcomes, strict=True):
        row: dict[str, Any] = {"run_id": options.run_id, "tenant_id": household.key[1], "household": household.key[0]}
        if isinstance(outcome, Exception):
            rejection = rejection_of(outcome)
            row["rejected"] = {"line_count": household.line_count, "reason": rejection.reason, "text": rejection.text}
            row[method.tables.details] = []
        else:
            row |= method.row_of(household, outcome, options)
        rows.append(row)
    return pa.RecordBatch.from_pylist(rows, method.tables.rows)


def _request_or_error(
    method: Method[Any, Any], household: Household, options: RunOptions, safeguards: Safeguards
) -> object:
    if household.key in safeguards.skipped:
        return HouseholdRejected("CRASHED", "processes ended at this household, repeatedly")
    try:
        return method.request_of(household, options)
    except HouseholdRejected as rejection:
        return rejection


def _outcomes(method: Method[Any, Any], requests: Sequence[Any], scorer: HouseholdScorer) -> list[Any]:
    """The outcome of each household, or its error. One that breaks others is found by bisection."""
    if not requests:
        return []
    try:
        outcomes = list(method.outcomes_of(requests, scorer))
    except Exception as error:
        outcomes = [error] * len(requests)
    if len(requests) > 1 and any(_is_unexpected(outcome) for outcome in outcomes):
        middle = len(requests) // 2
        return _outcomes(method, requests[:middle], scorer) + _outcomes(method, requests[middle:], scorer)
    return outcomes


def _is_unexpected(outcome: object) -> bool:
    return isinstance(outcome, Exception) and not isinstance(outcome, PantreeError)
