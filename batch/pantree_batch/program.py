"""Sums up a backtest: what a program of subscriptions would have brought to a retailer and its shoppers.

Intervals are those of the Poisson bootstrap over households: in each of `REPLICATES` samples, a household counts as
often as a Poisson variable of mean 1 says (Chamandy et al., "Estimating Uncertainty for Massive Data Streams", 2012).
Households are read once, bucket by bucket.
"""

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute as pc
from pyarrow import parquet

from pantree_pipeline.core.replay import DAYS_PER_WEEK

REPLICATES = 400
"""Ten of them are beyond each end of an interval, so the ends are steady to about a tenth of its width."""
MAX_ITEMS = 50
PROBABILITY_BOUNDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Of the classes of offers by what was predicted; each holds its lower bound, and the last one 1."""
# Within which the probability of an offer, and its confidence, expect a purchase.
_INTERVALS = 1.5
_CONFIDENCE_DAYS = 28
_DAYS_PER_MONTH = 365.25 / 12
_TAILS = (2.5, 97.5)

_REPLAY = ("delivery_count", "early_delivery_count", "need_count", "stockout_count", "delivered_units", "needed_units")
_HOUSEHOLD = ("household_count", "offered_household_count", "offer_count", "box_count", *_REPLAY)
_AMOUNTS = (
    "paid", "delivery_cost", "discount_cost", "purchase_cost", "savings", "stock_cost", "total_spend",
    "promised_savings", "kept_savings",
)  # fmt: skip
_SUBSCRIPTION_AMOUNTS = ("delivery_cost", "discount_cost", "savings", "stock_cost")
_SUBSCRIPTION = ("subscription_count", *_REPLAY, *_SUBSCRIPTION_AMOUNTS)
_JUDGED = ("judged_count", "bought_again_count", "predicted_sum")

_REPLAY_FIGURES = {
    "early_delivery_ratio": ("early_delivery_count", "delivery_count"),
    "stockout_ratio": ("stockout_count", "need_count"),
    "delivered_per_used_ratio": ("delivered_units", "needed_units"),
}
_HOUSEHOLD_FIGURES = {
    "offered_household_ratio": ("offered_household_count", "household_count"),
    "subscriptions_per_offered_household": ("offer_count", "offered_household_count"),
    "boxes_per_month": ("box_count", "offered_household_count"),
    **_REPLAY_FIGURES,
}
_JUDGED_FIGURES = {"bought_again_ratio": ("bought_again_count", "judged_count")}


class _Sums:
    """Sums of columns over households, and the same in each bootstrap sample."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._values = np.zeros((1 + REPLICATES, len(names)))

    def add(self, weights: NDArray[np.float64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Adds rows.

        Args:
            weights: [1 + samples, rows], how often each row counts; the first sample is the data itself.
            columns: [rows] each.
        """
        if weights.shape[1]:
            self._values += weights @ np.column_stack([columns[name].astype(np.float64) for name in self._names])

    def total(self, name: str) -> float:
        """The sum over the data."""
        return float(self._values[0, self._names.index(name)])

    def figure(self, names: tuple[str, str], factor: float = 1.0) -> dict[str, float | None]:
        """A ratio of two sums with its 95 % interval; null when it is undefined."""
        above, below = (self._values[:, self._names.index(name)] for name in names)
        return _interval(np.divide(above * factor, below, out=np.full(len(below), np.nan), where=below != 0))

    def sum_figure(self, name: str) -> dict[str, float | None]:
        """A sum with its 95 % interval."""
        return _interval(self._values[:, self._names.index(name)])


def report_of(manifest: Mapping[str, Any], files: Iterable[tuple[str, Path]]) -> dict[str, Any]:
    """The report of a backtest, as JSON.

    Args:
        manifest: of the run.
        files: table and path of each file.
    """
    by_table: defaultdict[str, list[Path]] = defaultdict(list)
    for table, file in files:
        by_table[table].append(file)
    seed = int.from_bytes(hashlib.sha256(manifest["run_id"].encode()).digest()[:8])
    day_count = DAYS_PER_WEEK * manifest["week_count"]
    households, judged = _Sums(_HOUSEHOLD), _Sums(_JUDGED)
    amounts: defaultdict[str, _Sums] = defaultdict(lambda: _Sums(_AMOUNTS))
    priced: Counter[str] = Counter()
    categories: defaultdict[str, tuple[_Sums, _Sums]] = defaultdict(lambda: (_Sums(_SUBSCRIPTION), _Sums(_JUDGED)))
    classes = {name: [_Sums(_JUDGED) for _ in PROBABILITY_BOUNDS[1:]] for name in ("probability", "confidence")}
    items: defaultdict[tuple[str, str, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(len(_SUBSCRIPTION)))
    category_of: dict[tuple[str, str, str], str] = {}
    for bucket, (file, details) in enumerate(zip(by_table["households"], by_table["subscriptions"], strict=True)):
        read, offers = parquet.read_table(file), parquet.read_table(details)
        drawn = np.random.default_rng([seed, bucket]).poisson(1.0, (REPLICATES, read.num_rows))
        weights = np.vstack([np.ones((1, read.num_rows)), drawn])
        columns = _household_columns(read)
        households.add(weights, columns)
        currencies = read["currency_code"].fill_null("").to_numpy(zero_copy_only=False)
        is_priced = read["has_prices"].to_numpy()
        for currency in np.unique(currencies[is_priced]).tolist():
            rows = np.flatnonzero(is_priced & (currencies == currency))
            priced[currency] += len(rows)
            amounts[currency].add(weights[:, rows], {name: columns[name][rows] for name in _AMOUNTS})
        if not offers.num_rows:
            continue
        owners = _positions_of_owners(read, offers)
        predictions = _predictions(offers, day_count)
        columns = _subscription_columns(offers) | predictions["probability"]
        judged.add(weights[:, owners], columns)
        # A category that the data do not name is the catalog's `other`.
        names = pc.if_else(pc.equal(offers["category"], ""), "other", offers["category"]).to_numpy(zero_copy_only=False)
        for category in np.unique(names).tolist():
            rows = np.flatnonzero(names == category)
            own = {name: values[rows] for name, values in columns.items()}
            for sums in categories[category]:
                sums.add(weights[:, owners[rows]], own)
        for prediction, of_prediction in predictions.items():
            numbers = np.searchsorted(PROBABILITY_BOUNDS[1:-1], of_prediction["predicted"], side="right")
            for number, sums in enumerate(classes[prediction]):
                rows = np.flatnonzero(numbers == number)
                sums.add(weights[:, owners[rows]], {name: of_prediction[name][rows] for name in _JUDGED})
        _add_items(items, category_of, offers, names, columns)
    only_currency = len(amounts) == 1
    months = day_count / _DAYS_PER_MONTH
    figures = {name: households.figure(of) for name, of in _HOUSEHOLD_FIGURES.items()}
    figures["boxes_per_month"] = households.figure(_HOUSEHOLD_FIGURES["boxes_per_month"], 1 / months)
    figures |= {name: judged.figure(of) for name, of in _JUDGED_FIGURES.items()}
    return {
        "format": 1,
        "run_id": manifest["run_id"],
        "as_of": manifest["as_of"],
        "week_count": manifest["week_count"],
        "models": manifest["models"],
        "household_count": manifest["household_count"],
        "rejected": _rejected(by_table["quarantine"]),
        "offered_household_count": round(households.total("offered_household_count")),
        "subscription_count": round(households.total("offer_count")),
        "deliveries_per_month": households.total("delivery_count") / months,
        "judged_count": round(judged.total("judged_count")),
        "figures": figures,
        "amounts": [_amounts(currency, priced[currency], amounts[currency]) for currency in sorted(amounts)],
        "categories": sorted(
            (_category(name, *sums, only_currency) for name, sums in categories.items()),
            key=lambda one: (-one["subscription_count"], one["category"]),
        ),
        "predictions": {
            prediction: [
                _class(low, high, sums)
                for (low, high), sums in zip(itertools.pairwise(PROBABILITY_BOUNDS), of_prediction, strict=True)
            ]
            for prediction, of_prediction in classes.items()
        },
        "items": _items(items, category_of),
    }


def _interval(values: NDArray[np.float64]) -> dict[str, float | None]:
    """The value of the data, and the middle 95 % of the samples in which there is one."""
    if np.isnan(values[0]):
        return {"value": None, "low": None, "high": None}
    low, high = np.nanpercentile(values[1:], _TAILS)
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def _household_columns(read: pa.Table) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        name: read[name].fill_null(0).to_numpy()
        for name in (*_HOUSEHOLD, *_AMOUNTS)
        if name not in ("household_count", "offered_household_count", "kept_savings")
    }
    columns["household_count"] = np.ones(read.num_rows)
    columns["offered_household_count"] = columns["offer_count"] > 0
    # Savings on units that were used, of the households whose plans promised any.
    is_promised = read["promised_savings"].is_valid().to_numpy()
    columns["kept_savings"] = (columns["savings"] + columns["stock_cost"]) * is_promised
    return columns


def _positions_of_owners(read: pa.Table, offers: pa.Table) -> NDArray[np.int64]:
    """The position in a table of households of the household of each offer."""
    position = {key: at for at, key in enumerate(zip(*_keys(read), strict=True))}
    return np.array([position[key] for key in zip(*_keys(offers), strict=True)], np.int64)


def _keys(table: pa.Table) -> tuple[list[str], list[str]]:
    return table["household"].to_pylist(), table["tenant_id"].to_pylist()


def _subscription_columns(offers: pa.Table) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        name: offers[name].to_numpy() for name in _SUBSCRIPTION if name != "subscription_count"
    }
    columns["subscription_count"] = np.ones(offers.num_rows)
    return columns


def _predictions(offers: pa.Table, day_count: int) -> dict[str, dict[str, NDArray[Any]]]:
    """What was predicted of each offer, and whether it came true, where the replay is long enough to know it."""
    days_to_need = (
        pc.subtract(offers["first_need_date"].cast(pa.int32()), offers["as_of"].cast(pa.int32()))
        .fill_null(np.iinfo(np.int32).max)
        .to_numpy()
    )
    in_plan = offers["in_plan"].to_numpy()
    predicted = {
        "probability": (offers["probability"].to_numpy(), _INTERVALS * offers["interval_days"].to_numpy()),
        "confidence": (offers["confidence"].to_numpy() / 100, np.full(offers.num_rows, _CONFIDENCE_DAYS)),
    }
    found = {}
    for name, (probabilities, days) in predicted.items():
        is_judged = in_plan & (days <= day_count)
        found[name] = {
            "predicted": probabilities,
            "judged_count": is_judged,
            "bought_again_count": is_judged & (days_to_need <= days),
            "predicted_sum": is_judged * probabilities,
        }
    return found


def _add_items(
    items: dict[tuple[str, str, str], NDArray[np.float64]],
    category_of: dict[tuple[str, str, str], str],
    offers: pa.Table,
    categories: NDArray[Any],
    columns: Mapping[str, NDArray[Any]],
) -> None:
    keys = zip(*(offers[name].to_pylist() for name in ("item", "item_id", "variant")), strict=True)
    values = np.column_stack([columns[name] for name in _SUBSCRIPTION])
    for key, category, row in zip(keys, categories.tolist(), values, strict=True):
        items[key] += row
        category_of[key] = category


def _amounts(currency: str, household_count: int, sums: _Sums) -> dict[str, Any]:
    figures = {name: sums.sum_figure(name) for name in _AMOUNTS}
    figures["subscribed_spend_ratio"] = sums.figure(("paid", "total_spend"))
    figures["kept_of_promised_savings_ratio"] = sums.figure(("kept_savings", "promised_savings"))
    return {"currency_code": currency, "household_count": household_count, "figures": figures}


def _category(category: str, sums: _Sums, judged: _Sums, has_amounts: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "category": category,
        "subscription_count": round(sums.total("subscription_count")),
        "delivery_count": round(sums.total("delivery_count")),
        "judged_count": round(judged.total("judged_count")),
        "figures": {name: sums.figure(of) for name, of in _REPLAY_FIGURES.items()}
        | {name: judged.figure(of) for name, of in _JUDGED_FIGURES.items()},
    }
    if has_amounts:
        row["figures"] |= {name: sums.sum_figure(name) for name in _SUBSCRIPTION_AMOUNTS}
    return row


def _class(low: float, high: float, sums: _Sums) -> dict[str, Any]:
    return {
        "min_prediction": low,
        "max_prediction": high,
        "judged_count": round(sums.total("judged_count")),
        "mean_prediction": sums.figure(("predicted_sum", "judged_count"))["value"],
        "bought_again_ratio": sums.figure(_JUDGED_FIGURES["bought_again_ratio"]),
    }


def _items(
    items: Mapping[tuple[str, str, str], NDArray[np.float64]], category_of: Mapping[tuple[str, str, str], str]
) -> list[dict[str, Any]]:
    """The items of most subscriptions."""
    count = _SUBSCRIPTION.index("subscription_count")
    rows = []
    for key in sorted(items, key=lambda key: (-items[key][count], key))[:MAX_ITEMS]:
        values = dict(zip(_SUBSCRIPTION, items[key].tolist(), strict=True))
        ratios = {
            name: values[above] / values[below] if values[below] else None
            for name, (above, below) in _REPLAY_FIGURES.items()
        }
        rows.append(
            {
                **dict(zip(("item", "item_id", "variant"), key, strict=True)),
                "category": category_of[key],
                "subscription_count": round(values["subscription_count"]),
                "delivery_count": round(values["delivery_count"]),
                **ratios,
            }
        )
    return rows


def _rejected(files: Iterable[Path]) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for file in files:
        reasons.update(parquet.read_table(file, columns=["reason"])["reason"].to_pylist())
    return dict(sorted(reasons.items()))
