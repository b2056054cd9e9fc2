from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_frequency.core import AnalysisRequest, CadenceChange, Options, cadence_changes
from pantree_frequency.core.counterfactual import with_next_purchase
from pantree_runtime.errors import InvalidInput
from tests.frequency.histories import AS_OF_DAY, Line, analyze, bundled_models, history_of


def bought(name: str, gaps: Sequence[int]) -> list[Line]:
    """Purchases of one unit, the last one two days ago."""
    days = np.cumsum([AS_OF_DAY - 2 - sum(gaps), *gaps])
    return [(name, int(day), 1, 2.0, 0.5) for day in days]


def changes_of(rows: list[Line], *names: str) -> list[CadenceChange]:
    return cadence_changes(AnalysisRequest(history_of(rows), AS_OF_DAY), names, bundled_models(), Options())


def cadence_after(rows: list[Line], name: str, day: int) -> int:
    """The cadence that the whole analysis gives on a day, had the item been bought on it."""
    analysis = analyze(history_of([*rows, (name, day, 1, 2.0, 0.5)]), day)
    (item,) = [item for item in analysis.items if item.statistics.name == name]
    return item.options[0].interval_days


HOUSEHOLD = [*bought("Milk", [7] * 12), *bought("Coffee", [14, 13, 15, 14]), *bought("Soap", [60, 40])]


def test_changes_are_what_the_analysis_gives_when_they_happen() -> None:
    changes = changes_of(HOUSEHOLD, "Coffee", "Milk", "Soap")
    assert [change.name for change in changes][:2] == ["Coffee", "Milk"]
    for change in changes:
        now = analyze(history_of(HOUSEHOLD), AS_OF_DAY)
        (item,) = [item for item in now.items if item.statistics.name == change.name]
        assert change.recommended_interval_days == item.options[0].interval_days
        assert change.interval_days > change.recommended_interval_days
        assert cadence_after(HOUSEHOLD, change.name, change.after_day + 1) == change.interval_days
        if change.after_day > AS_OF_DAY:
            assert cadence_after(HOUSEHOLD, change.name, change.after_day) <= change.recommended_interval_days


@settings(max_examples=15)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=12))
def test_change_of_any_intervals_is_confirmed_by_the_analysis(gaps: list[int]) -> None:
    rows = [*bought("Milk", gaps), *bought("Bread", [7] * 8)]
    for change in changes_of(rows, "Milk"):
        assert (
            cadence_after(rows, "Milk", change.after_day + 1) == change.interval_days > change.recommended_interval_days
        )


def test_next_purchase_has_all_lines_of_the_last_day() -> None:
    rows: list[Line] = [("Milk", AS_OF_DAY - 9, 5, 2.0, 0.0), ("Soap", AS_OF_DAY, 7, 1.0, 0.0)]
    last: list[Line] = [("Milk", AS_OF_DAY - 2, 1, 2.0, 0.5), ("Milk", AS_OF_DAY - 2, 2, 3.0, 0.0)]
    request = AnalysisRequest(history_of([*last, *rows]), AS_OF_DAY)
    later = with_next_purchase(request, item=0, days=3)
    assert later.as_of_day == AS_OF_DAY + 3
    added = later.history.days == AS_OF_DAY + 3
    assert later.history.item_indices[added].tolist() == [0, 0]
    assert later.history.quantities[added].tolist() == [1, 2]
    assert later.history.savings[added].tolist() == [0.5, 0.0]


def test_item_that_was_never_bought_is_named() -> None:
    with pytest.raises(InvalidInput) as raised:
        changes_of(HOUSEHOLD, "Milk", "Caviar")
    assert [violation.field for violation in raised.value.violations] == ["item_names[1]"]
