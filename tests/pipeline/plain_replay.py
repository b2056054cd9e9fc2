"""A replay of deliveries in plain pandas, written from docs/plan.md, to compare with the product's."""

from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

import pandas as pd


def cents(amount: float) -> float:
    """The amount, rounded half up to two decimal places."""
    return float(Decimal(repr(float(amount))).quantize(Decimal("0.01"), ROUND_HALF_UP))


def daily_replay(deliveries: pd.DataFrame, purchases: pd.DataFrame, as_of: date, weeks: int) -> pd.DataFrame:
    """What happened to each item on each day, from how much was on hand the day before.

    Args:
        deliveries: date, name, quantity, price.
        purchases: date, name, quantity, paid.
        as_of: the day before the replay.
        weeks: their number.
    """
    days = [as_of + timedelta(days=number) for number in range(1, 7 * weeks + 1)]
    rows = []
    for name in sorted(deliveries.name.unique()):
        boxes = deliveries[deliveries.name == name].groupby("date")[["quantity", "price"]].sum()
        needs = purchases[purchases.name == name].groupby("date")[["quantity", "paid"]].sum()
        on_hand = 0.0
        for number, day in enumerate(days):
            delivered, price = boxes.loc[day] if day in boxes.index else (0.0, 0.0)
            needed, paid = needs.loc[day] if day in needs.index else (0.0, 0.0)
            before = on_hand
            short = max(needed - before - delivered, 0.0)
            on_hand = max(before + delivered - needed, 0.0)
            rows.append(
                {
                    "name": name,
                    "week": number // 7 + 1,
                    "box": day if delivered else None,
                    "delivery_count": int(delivered > 0),
                    "early_delivery_count": int(delivered > 0 and before > 0),
                    "need_count": int(needed > 0),
                    "stockout_count": int(short > 0),
                    "delivered_units": delivered,
                    "needed_units": needed,
                    "bought_units": short,
                    "paid": cents(paid),
                    "delivery_cost": price,
                    "purchase_cost": cents(cents(paid) * short / needed) if short else 0.0,
                    "on_hand": on_hand,
                }
            )
    return pd.DataFrame(rows)


def totals(days: pd.DataFrame) -> dict[str, float]:
    """Sums over days, by the names of the contract."""
    sums = days.drop(columns=["name", "week", "box", "on_hand"]).sum().to_dict()
    sums["box_count"] = days.box.nunique()
    sums["savings"] = sums["paid"] - sums["delivery_cost"] - sums["purchase_cost"]
    return {name: round(float(value), 6) for name, value in sums.items()}
