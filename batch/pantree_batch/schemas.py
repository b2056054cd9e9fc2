"""Columns of the tables that a batch reads and writes. docs/batch.md describes them."""

from typing import NamedTuple

import pyarrow as pa

LINES = pa.schema(
    [
        ("tenant_id", pa.string()),
        ("household", pa.string()),
        ("line_id", pa.int64()),
        ("date", pa.date32()),
        ("item", pa.string()),
        ("item_id", pa.string()),
        ("category", pa.string()),
        ("quantity", pa.int32()),
        ("price", pa.float64()),
        ("saving", pa.float64()),
        ("currency_code", pa.string()),
    ]
)
"""Receipt lines, sorted by household, tenant, date and line."""

REJECTED_LINES = pa.schema(
    [
        ("source_row", pa.int64()),
        ("tenant_id", pa.string()),
        ("household", pa.string()),
        ("line_id", pa.int64()),
        ("item", pa.string()),
        ("reason", pa.string()),
    ]
)
"""Lines that `layout` left out."""

_REASON = pa.struct([("code", pa.string()), ("text", pa.string())])

_OFFER = [
    ("change_id", pa.string()),
    ("rank", pa.int32()),
    ("item", pa.string()),
    ("item_id", pa.string()),
    ("variant", pa.string()),
    ("category", pa.string()),
    ("frequency", pa.string()),
    ("interval_days", pa.int32()),
    ("quantity", pa.int32()),
    ("units_per_pack", pa.int32()),
    ("first_delivery_date", pa.date32()),
    ("last_delivery_date", pa.date32()),
    ("next_due_date", pa.date32()),
    ("probability", pa.float64()),
    ("confidence", pa.float64()),
    ("score", pa.float64()),
    ("purchase_count", pa.int32()),
    ("mean_interval_days", pa.float64()),
    ("discount_ratio", pa.float64()),
    ("annual_cost", pa.float64()),
    ("estimated_annual_savings", pa.float64()),
    ("annual_savings_vs_paid", pa.float64()),
    ("value", pa.string()),
    ("discount_ratio_in_plan", pa.float64()),
    ("annual_savings_in_plan", pa.float64()),
    ("next_charge", pa.float64()),
    ("reasons", pa.list_(_REASON)),
]

_RUN = [("run_id", pa.string()), ("tenant_id", pa.string()), ("household", pa.string())]
_MODEL = [("model_name", pa.string()), ("model_version", pa.string()), ("source", pa.string())]

OFFERS = pa.schema([*_RUN, *_OFFER, ("currency_code", pa.string()), ("as_of", pa.date32()), *_MODEL])
"""One row per household and item that is offered, best first within a household."""

_DELIVERY = pa.struct(
    [
        ("date", pa.date32()),
        ("items", pa.list_(pa.struct([("item", pa.string()), ("quantity", pa.int32())]))),
        ("discount_ratio", pa.float64()),
        ("price", pa.float64()),
    ]
)

_HOUSEHOLD = [
    ("as_of", pa.date32()),
    ("recommendation_id", pa.string()),
    ("offer_count", pa.int32()),
    ("annual_cost", pa.float64()),
    ("estimated_annual_savings", pa.float64()),
    ("annual_savings_vs_paid", pa.float64()),
    ("boxes_per_month", pa.float64()),
    ("deliveries", pa.list_(_DELIVERY)),
    ("currency_code", pa.string()),
    ("line_count", pa.int32()),
    ("trip_count", pa.int32()),
    ("item_count", pa.int32()),
    ("first_date", pa.date32()),
    ("last_date", pa.date32()),
    ("total_spend", pa.float64()),
    ("warnings", pa.list_(_REASON)),
    (
        "near_misses",
        pa.list_(pa.struct([("item", pa.string()), ("code", pa.string()), ("text", pa.string())])),
    ),
    *_MODEL,
    ("confidence_model_name", pa.string()),
    ("confidence_model_version", pa.string()),
]

HOUSEHOLDS = pa.schema([*_RUN, *_HOUSEHOLD])
"""One row per household that was scored."""

REJECTED_HOUSEHOLDS = pa.schema([*_RUN, ("line_count", pa.int64()), ("reason", pa.string()), ("text", pa.string())])
"""Households that could not be scored."""

_REJECTED = ("rejected", pa.struct([("line_count", pa.int64()), ("reason", pa.string()), ("text", pa.string())]))

SCORED = pa.schema(
    [
        *_RUN,
        _REJECTED,
        ("result", pa.struct(_HOUSEHOLD)),
        ("offers", pa.list_(pa.struct(_OFFER))),
    ]
)
"""What scoring returns: one row per household, with either a result or the reason why there is none."""

_REPLAYED = [
    ("delivery_count", pa.int32()),
    ("early_delivery_count", pa.int32()),
    ("need_count", pa.int32()),
    ("stockout_count", pa.int32()),
    ("delivered_units", pa.float64()),
    ("needed_units", pa.float64()),
    ("bought_units", pa.float64()),
    ("paid", pa.float64()),
    ("delivery_cost", pa.float64()),
    ("discount_cost", pa.float64()),
    ("purchase_cost", pa.float64()),
    ("savings", pa.float64()),
    ("stock_cost", pa.float64()),
]

_REPLAYED_SUBSCRIPTION = [
    ("rank", pa.int32()),
    ("item", pa.string()),
    ("item_id", pa.string()),
    ("variant", pa.string()),
    ("category", pa.string()),
    ("interval_days", pa.int32()),
    ("quantity", pa.int32()),
    ("first_delivery_date", pa.date32()),
    ("probability", pa.float64()),
    ("confidence", pa.float64()),
    ("value", pa.string()),
    ("in_plan", pa.bool_()),
    ("first_need_date", pa.date32()),
    *_REPLAYED,
]

_REPLAYED_HOUSEHOLD = [
    ("as_of", pa.date32()),
    ("week_count", pa.int32()),
    ("currency_code", pa.string()),
    ("offer_count", pa.int32()),
    ("box_count", pa.int32()),
    *_REPLAYED,
    ("promised_savings", pa.float64()),
    ("total_spend", pa.float64()),
    ("has_prices", pa.bool_()),
    *_MODEL[:2],
]

REPLAYED = pa.schema(
    [
        *_RUN,
        _REJECTED,
        ("result", pa.struct(_REPLAYED_HOUSEHOLD)),
        ("subscriptions", pa.list_(pa.struct(_REPLAYED_SUBSCRIPTION))),
    ]
)
"""What a backtest returns: one row per household, with either the replay or the reason why there is none."""

REPLAYED_SUBSCRIPTIONS = pa.schema(
    [*_RUN, *_REPLAYED_SUBSCRIPTION, ("currency_code", pa.string()), ("as_of", pa.date32())]
)
"""One row per household and item that would have been offered, best first within a household."""

REPLAYED_HOUSEHOLDS = pa.schema([*_RUN, *_REPLAYED_HOUSEHOLD])
"""One row per household whose past was replayed."""


class RunTables(NamedTuple):
    """The tables that a run writes."""

    rows: pa.Schema
    """Of the rows that are divided among them."""
    details: str
    """Column of the rows with a list, and table with one row for each element."""
    details_schema: pa.Schema
    households_schema: pa.Schema

    @property
    def schemas(self) -> dict[str, pa.Schema]:
        """The columns of each table, by name."""
        return {
            self.details: self.details_schema,
            "households": self.households_schema,
            "quarantine": REJECTED_HOUSEHOLDS,
        }


SCORE_TABLES = RunTables(SCORED, "offers", OFFERS, HOUSEHOLDS)
BACKTEST_TABLES = RunTables(REPLAYED, "subscriptions", REPLAYED_SUBSCRIPTIONS, REPLAYED_HOUSEHOLDS)
