"""Histories for tests: drawn by hypothesis, or written line by line."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from hypothesis import strategies as st

from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.backends import model_files
from pantree_frequency.core import AnalysisRequest, HistoryAnalysis, Models, Options, analyze_histories
from pantree_frequency.core.cadence import DEFAULT_STOCKOUT_TOLERANCE

# Name, day, quantity, price of a unit, saving on the line.
Line = tuple[str, int, int, float, float]

AS_OF_DAY = 20_000


def _line(name: str, day: int, quantity: int, price_cents: int, saving_percent: int) -> Line:
    price = price_cents / 100
    return name, day, quantity, price, round(price * quantity * saving_percent / 100, 2)


lines = st.lists(
    st.builds(
        _line,
        st.sampled_from(["Bananas", "Milk", "Rice", "Soap", "Tea"]),
        st.integers(min_value=AS_OF_DAY - 400, max_value=AS_OF_DAY),
        st.integers(min_value=1, max_value=6),
        st.integers(min_value=1, max_value=3_000),
        st.integers(min_value=0, max_value=60),
    ),
    min_size=1,
    max_size=80,
)


def history_of(rows: Sequence[Line], category: str = "") -> PurchaseHistory:
    """History with these lines, in this order."""
    names = tuple(dict.fromkeys(name for name, *_ in rows))
    return PurchaseHistory(
        item_names=names,
        item_categories=(category,) * len(names),
        item_indices=np.array([names.index(name) for name, *_ in rows], dtype=np.int32),
        days=np.array([day for _, day, *_ in rows], dtype=np.int32),
        quantities=np.array([quantity for _, _, quantity, _, _ in rows], dtype=np.int32),
        prices=np.array([price for *_, price, _ in rows], dtype=np.float64),
        savings=np.array([saving for *_, saving in rows], dtype=np.float64),
    )


def bought_on(*days: int, name: str = "Bananas") -> PurchaseHistory:
    """History of one item, one unit at 2.00 on each of these days."""
    return history_of([(name, day, 1, 2.0, 0.0) for day in days])


@cache
def bundled_models() -> Models:
    """The models that ship with the package."""
    return model_files.models_of(model_files.load())


def analyze(
    history: PurchaseHistory,
    as_of_day: int,
    model_name: str = "",
    stockout_tolerance: float = DEFAULT_STOCKOUT_TOLERANCE,
) -> HistoryAnalysis:
    """The analysis of one history by the models that ship."""
    options = Options(model_name, stockout_tolerance)
    (analysis,) = analyze_histories([AnalysisRequest(history, as_of_day)], bundled_models(), options)
    return analysis
