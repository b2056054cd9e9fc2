from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree_batch import scoring
from pantree_batch.errors import InvalidTable
from pantree_batch.layout import batches_of, lay_out
from pantree_batch.method import Replayed, RunOptions
from pantree_batch.schemas import LINES
from pantree_batch.scorer import Scorer
from pantree_batch.scoring import score_batches
from pantree_runtime.errors import FieldViolation, InvalidInput
from tests.batch.populations import AS_OF, lines_of, population, write

OPTIONS = RunOptions("run", AS_OF)


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    opened = Scorer()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> pa.RecordBatch:
    directory = tmp_path_factory.mktemp("lines")
    written = lay_out(write(directory / "in.parquet", population(9)), directory / "table", 1)
    return pa.Table.from_batches(batches_of(written.files[0])).combine_chunks().to_batches()[0]


def rows(batches: Iterator[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]


class Broken:
    """Fails for whole chunks that hold a certain household, and says why for another."""

    def __init__(self, broken: str, rejected: str) -> None:
        self._broken = broken
        self._rejected = rejected

    def replay(self, households: Sequence[pipeline.WhatIfInput]) -> list[Replayed | Exception]:
        raise NotImplementedError

    def score(self, households: Sequence[pipeline.ProcessInput]) -> list[pipeline.ProcessResult | Exception]:
        if any(household.customer_id == self._broken for household in households):
            raise ZeroDivisionError("division by zero")
        return [
            InvalidInput([FieldViolation("input", "is wrong")])
            if household.customer_id == self._rejected
            else pipeline.ProcessResult(
                history_summary=pipeline.HistorySummary(first_date="2026-01-01", last_date="2026-01-01")
            )
            for household in households
        ]


def test_offers_are_complete(scorer: Scorer, lines: pa.RecordBatch) -> None:
    scored = rows(score_batches([lines], scorer, OPTIONS))
    assert [row["household"] for row in scored] == [f"h{number:03}" for number in range(9)]
    offers = [offer for row in scored for offer in row["offers"]]
    assert {"Milk"} <= {offer["item"] for offer in offers}
    for offer in offers:
        assert offer["interval_days"] >= 7
        assert offer["first_delivery_date"] >= AS_OF
        assert 0 < offer["probability"] <= 1
        assert offer["reasons"]
    assert len({offer["change_id"] for offer in offers}) == len(offers)


@given(cuts=st.lists(st.integers(1, 300), max_size=6), chunk=st.integers(1, 9))
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_answers_do_not_depend_on_the_split(
    cuts: list[int], chunk: int, scorer: Scorer, lines: pa.RecordBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows(score_batches([lines], scorer, OPTIONS))
    ends = sorted({cut for cut in cuts if cut < lines.num_rows} | {lines.num_rows})
    split = [lines.slice(begin, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "CHUNK_HOUSEHOLDS", chunk)
        assert rows(score_batches(split, scorer, OPTIONS)) == expected


def test_later_purchases_do_not_count(scorer: Scorer) -> None:
    early = RunOptions("run", AS_OF - timedelta(days=1000))
    batch = pa.RecordBatch.from_pylist(_sorted(lines_of("h")), LINES)
    (row,) = rows(score_batches([batch], scorer, early))
    assert row["rejected"]["reason"] == "NO_PURCHASES"
    assert row["result"] is None


def test_broken_household_is_found_by_bisection(lines: pa.RecordBatch) -> None:
    scored = rows(score_batches([lines], Broken("h004", "h007"), OPTIONS))
    rejected = {row["household"]: row["rejected"]["reason"] for row in scored if row["rejected"]}
    assert rejected == {"h004": "FAILED", "h007": "INVALID_INPUT"}
    assert len(scored) == 9


def test_huge_household_is_rejected_without_being_kept(scorer: Scorer) -> None:
    batch = pa.RecordBatch.from_pylist(_sorted(lines_of("h", count=4)), LINES)
    days = 0
    first = batch["date"].cast(pa.int32()).to_pylist()[0]

    def many() -> Iterator[pa.RecordBatch]:
        nonlocal days
        size = 50_000
        for number in range(30):
            begin = number * size
            columns = {name: pa.repeat(batch[name][0], size) for name in LINES.names if name not in ("line_id", "date")}
            columns["line_id"] = pa.array(range(begin, begin + size))
            columns["date"] = pa.repeat(pa.scalar(first, pa.int32()).cast(pa.date32()), size)
            yield pa.RecordBatch.from_arrays([columns[name] for name in LINES.names], schema=LINES)

    (row,) = rows(score_batches(many(), scorer, OPTIONS))
    assert row["rejected"]["reason"] == "TOO_MANY_LINES"
    assert row["rejected"]["line_count"] == 1_500_000


@pytest.mark.parametrize("swap", ["household", "date", "line_id"])
def test_lines_out_of_order_are_refused(swap: str, scorer: Scorer) -> None:
    ordered = _sorted(lines_of("a", count=3)) + _sorted(lines_of("b", count=3))
    if swap == "household":
        ordered = ordered[-2:] + ordered[:-2]
    elif swap == "date":
        ordered[0]["date"], ordered[-1]["date"] = ordered[3]["date"] + timedelta(days=99), ordered[-1]["date"]
    else:
        ordered[1]["date"], ordered[1]["line_id"] = ordered[0]["date"], ordered[0]["line_id"]
    with pytest.raises(InvalidTable, match="not sorted"):
        list(score_batches([pa.RecordBatch.from_pylist(ordered, LINES)], scorer, OPTIONS))


def test_several_currencies_are_rejected(scorer: Scorer, tmp_path: Path) -> None:
    bought = _sorted(lines_of("h"))
    bought[0]["currency_code"], bought[1]["currency_code"] = "USD", "EUR"
    (row,) = rows(score_batches([pa.RecordBatch.from_pylist(bought, LINES)], scorer, OPTIONS))
    assert row["rejected"]["text"] == "has amounts in EUR, USD"


def _sorted(bought: list[dict[str, Any]]) -> list[dict[str, Any]]:
    full = [
        {"tenant_id": "", "item_id": "", "currency_code": None, **line, "line_id": at} for at, line in enumerate(bought)
    ]
    return sorted(full, key=lambda line: (line["household"], line["date"], line["line_id"]))
