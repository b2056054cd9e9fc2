"""Scores sorted receipt lines: a function from record batches to record batches that any engine can run.

It needs all lines of a household in one run of consecutive lines, in the order of `LINES`. Nothing else depends on how
lines are divided into batches or households among processes.
"""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from pantree.pipeline.v1 import pipeline_service_pb2 as pipeline
from pantree.purchase.v1.purchase_pb2 import Purchase, PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import Recommendation
from pantree_batch.errors import InvalidTable
from pantree_batch.schemas import SCORED
from pantree_domain.days import calendar_day, day_number
from pantree_domain.limits import max_items
from pantree_runtime.errors import PantreeError

MAX_LINES = max_items("pantree.purchase.v1.PurchaseColumns.days")
CHUNK_HOUSEHOLDS = 64
_CHUNK_LINES = 50_000
# Namespace of change ids: an arbitrary UUID.
_CHANGE_NAMESPACE = uuid.UUID("b1a7d0c2-3f5e-5c3b-8f0a-9d2a4e6c7b15")

Key = tuple[str, str]
"""Household and tenant."""


class HouseholdScorer(Protocol):
    """Scores households."""

    def score(self, households: Sequence[pipeline.ProcessInput]) -> Sequence[pipeline.ProcessResult | Exception]:
        """The result of each household, in order, or why it has none."""


@dataclass(frozen=True)
class RunOptions:
    """What all households of a run share."""

    run_id: str
    as_of: date
    max_recommendations: int | None = None
    """None for the default of the recommendation service."""


@dataclass(frozen=True)
class Safeguards:
    """How households are handled in a bucket whose process has ended unexpectedly."""

    skipped: frozenset[Key] = frozenset()
    """Households at which processes ended."""
    before_each: Callable[[Key], None] | None = None
    """Called before each household, which is then scored alone."""


@dataclass
class _Household:
    """Lines of one household, as far as they have been read."""

    key: Key
    line_count: int = 0
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, lines: pa.RecordBatch) -> None:
        self.line_count += lines.num_rows
        if self.line_count > MAX_LINES:
            self.batches.clear()
        else:
            self.batches.append(lines)


def score_batches(
    batches: Iterable[pa.RecordBatch],
    scorer: HouseholdScorer,
    options: RunOptions,
    safeguards: Safeguards = Safeguards(),
) -> Iterator[pa.RecordBatch]:
    """One row of `SCORED` per household, in order.

    Args:
        batches: lines with the columns of `LINES`, in its order.
        scorer: scores households.
        options: of the run.
        safeguards: after a process has ended.

    Raises:
        InvalidTable: if the lines are not in order.
    """
    chunk: list[_Household] = []
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


def _households(batches: Iterable[pa.RecordBatch]) -> Iterator[_Household]:
    current: _Household | None = None
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
                current = _Household(key)
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


@dataclass(frozen=True)
class _Rejection:
    reason: str
    text: str


def _scored(
    chunk: Sequence[_Household], scorer: HouseholdScorer, options: RunOptions, safeguards: Safeguards
) -> pa.RecordBatch:
    inputs = [_input_of(household, options, safeguards.skipped) for household in chunk]
    if safeguards.before_each is not None:
        for household, given in zip(chunk, inputs, strict=True):
            if not isinstance(given, _Rejection):
                safeguards.before_each(household.key)
    outcomes = iter(_outcomes([given for given in inputs if not isinstance(given, _Rejection)], scorer))
    rows = [
        _row(household, given if isinstance(given, _Rejection) else next(outcomes), options)
        for household, given in zip(chunk, inputs, strict=True)
    ]
    return pa.RecordBatch.from_pylist(rows, SCORED)


def _outcomes(
    inputs: Sequence[pipeline.ProcessInput], scorer: HouseholdScorer
) -> list[pipeline.ProcessResult | _Rejection]:
    """The outcome of each household. One that breaks others is found by bisection."""
    if not inputs:
        return []
    try:
        outcomes = list(scorer.score(inputs))
    except Exception as error:
        outcomes = [error] * len(inputs)
    if len(inputs) > 1 and any(_is_unexpected(outcome) for outcome in outcomes):
        middle = len(inputs) // 2
        return _outcomes(inputs[:middle], scorer) + _outcomes(inputs[middle:], scorer)
    return [_rejection(outcome) if isinstance(outcome, Exception) else outcome for outcome in outcomes]


def _is_unexpected(outcome: object) -> bool:
    return isinstance(outcome, Exception) and not isinstance(outcome, PantreeError)


def _rejection(error: Exception) -> _Rejection:
    if isinstance(error, PantreeError):
        return _Rejection(error.reason, error.message)
    return _Rejection("FAILED", f"{type(error).__name__}: {error}")


def _input_of(
    household: _Household, options: RunOptions, skipped: frozenset[Key]
) -> pipeline.ProcessInput | _Rejection:
    """The request that the household would send."""
    if household.key in skipped:
        return _Rejection("CRASHED", "processes ended at this household, repeatedly")
    if household.line_count > MAX_LINES:
        return _Rejection("TOO_MANY_LINES", f"has {household.line_count:,} lines; at most {MAX_LINES:,} are scored")
    lines = pa.Table.from_batches(household.batches)
    as_of_day = day_number(options.as_of)
    days = lines["date"].cast(pa.int32()).to_numpy()
    # Lines are sorted by day.
    lines = lines.slice(0, int(np.searchsorted(days, as_of_day, side="right")))
    if not lines.num_rows:
        return _Rejection("NO_PURCHASES", f"has no purchases until {options.as_of.isoformat()}")
    currencies = sorted({code for code in lines["currency_code"].to_pylist() if code})
    if len(currencies) > 1:
        return _Rejection("SEVERAL_CURRENCIES", f"has amounts in {', '.join(currencies)}")
    message = pipeline.ProcessInput(
        customer_id=household.key[0],
        as_of=options.as_of.isoformat(),
        max_recommendations=options.max_recommendations,
        currency_code="".join(currencies),
    )
    items: dict[tuple[str, str, str], int] = {}
    columns = (lines[name].to_pylist() for name in ("item", "category", "item_id"))
    indices = [items.setdefault(item, len(items)) for item in zip(*columns, strict=True)]
    names, categories, ids = zip(*items, strict=True)
    amounts = {name: lines[name].to_pylist() for name in ("quantity", "price", "saving")}
    if len(set(names)) == len(names):
        message.history_columns.CopyFrom(
            PurchaseColumns(
                item_names=names,
                item_categories=categories,
                item_ids=ids if any(ids) else None,
                item_indices=indices,
                days=days[: len(indices)].tolist(),
                quantities=amounts["quantity"],
                prices=amounts["price"],
                savings=amounts["saving"],
            )
        )
        return message
    # Names with several categories or ids fit rows only.
    for item, day, quantity, price, saving in zip(indices, days.tolist(), *amounts.values(), strict=False):
        message.history.append(
            Purchase(
                name=names[item],
                category=categories[item],
                item_id=ids[item],
                date=calendar_day(day).isoformat(),
                quantity=quantity,
                price=price,
                saving=saving,
            )
        )
    return message


def _row(household: _Household, outcome: pipeline.ProcessResult | _Rejection, options: RunOptions) -> dict[str, Any]:
    name, tenant_id = household.key
    row: dict[str, Any] = {"run_id": options.run_id, "tenant_id": tenant_id, "household": name}
    if isinstance(outcome, _Rejection):
        row["rejected"] = {"line_count": household.line_count, "reason": outcome.reason, "text": outcome.text}
        return row | {"offers": []}
    answer, summary = outcome.recommendations, outcome.history_summary
    row["result"] = {
        "as_of": options.as_of,
        "recommendation_id": outcome.recommendation_id,
        "offer_count": len(answer.recommendations),
        "annual_cost": answer.plan.annual_cost,
        "estimated_annual_savings": answer.plan.estimated_annual_savings,
        "annual_savings_vs_paid": answer.plan.annual_savings_vs_paid
        if answer.plan.HasField("annual_savings_vs_paid")
        else None,
        "boxes_per_month": answer.plan.boxes_per_month,
        "deliveries": [
            {
                "date": date.fromisoformat(delivery.date),
                "items": [{"item": item.name, "quantity": item.quantity} for item in delivery.items],
                "discount_ratio": delivery.discount_ratio,
                "price": delivery.price,
            }
            for delivery in answer.plan.deliveries
        ],
        "currency_code": outcome.currency_code or None,
        "line_count": summary.purchase_count,
        "trip_count": summary.trip_count,
        "item_count": summary.item_count,
        "first_date": date.fromisoformat(summary.first_date),
        "last_date": date.fromisoformat(summary.last_date),
        "total_spend": summary.total_spend,
        "warnings": [{"code": warning.code, "text": warning.message} for warning in outcome.warnings],
        "near_misses": [
            {"item": near.name, "code": near.reason.code, "text": near.reason.text} for near in answer.near_misses
        ],
        "model_name": outcome.model.name,
        "model_version": outcome.model.version,
        "source": outcome.source,
        "confidence_model_name": outcome.confidence_model.name,
        "confidence_model_version": outcome.confidence_model.version,
    }
    row["offers"] = [_offer(offer, rank, household.key) for rank, offer in enumerate(answer.recommendations, start=1)]
    return row


def _offer(offer: Recommendation, rank: int, key: Key) -> dict[str, Any]:
    subscription = offer.subscription
    paid = subscription.savings_vs_paid
    return {
        "change_id": change_id(offer, key),
        "rank": rank,
        "item": offer.name,
        "item_id": offer.item_id,
        "variant": offer.variant,
        "category": offer.category,
        "frequency": subscription.frequency,
        "interval_days": subscription.interval_days,
        "quantity": subscription.quantity,
        "units_per_pack": subscription.units_per_pack,
        "first_delivery_date": date.fromisoformat(subscription.first_delivery_date),
        "last_delivery_date": date.fromisoformat(subscription.last_delivery_date)
        if subscription.last_delivery_date
        else None,
        "next_due_date": date.fromisoformat(offer.next_due_date),
        "probability": offer.cadence_probability,
        "confidence": offer.confidence,
        "score": offer.score,
        "purchase_count": offer.count,
        "mean_interval_days": offer.avg_interval,
        "discount_ratio": subscription.discount_ratio,
        "annual_cost": subscription.annual_cost,
        "estimated_annual_savings": subscription.estimated_annual_savings,
        "annual_savings_vs_paid": paid.expected_annual_savings if subscription.HasField("savings_vs_paid") else None,
        "value": subscription.value or None,
        "discount_ratio_in_plan": subscription.discount_ratio_in_plan,
        "annual_savings_in_plan": subscription.annual_savings_in_plan
        if subscription.HasField("annual_savings_in_plan")
        else None,
        "next_charge": subscription.next_charge,
        "reasons": [{"code": reason.code, "text": reason.text} for reason in offer.reasons],
    }


def change_id(offer: Recommendation, key: Key) -> str:
    """Id of an offer's content: equal in two runs if a shopper would see the same offer.

    Probabilities, scores and texts change every night and are not part of it.
    """
    subscription = offer.subscription
    content = (
        *key, offer.name, offer.item_id, offer.variant, subscription.interval_days, subscription.quantity,
        subscription.units_per_pack, subscription.first_delivery_date, subscription.last_delivery_date,
        subscription.discount_ratio, subscription.annual_cost, subscription.estimated_annual_savings,
    )  # fmt: skip
    return str(uuid.uuid5(_CHANGE_NAMESPACE, repr(content)))
