"""Purchases of a made-up retailer: other items than those that the bundled models know, and far more regular needs."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

ITEM_COUNT = 60
_FIRST_DAY = 20_000
_DAYS = 210


def write_purchases(
    path: Path, households: int = 100, *, seed: int = 3, prices: bool = True, shuffled: bool = False
) -> None:
    """Writes the lines of some households, each of which has 14 items with an interval of its own for each.

    Args:
        path: of the Parquet file.
        households: how many.
        seed: of all random numbers.
        prices: whether there are columns beyond the required ones.
        shuffled: whether the lines are in another order.
    """
    generator = np.random.default_rng(seed)
    # Items that go together: a household buys most of its items in one or two departments.
    department = np.arange(ITEM_COUNT) % 5
    typical = np.exp(generator.uniform(np.log(8), np.log(50), ITEM_COUNT))
    rows: list[tuple[int, int, int]] = []
    for household in range(households):
        liked = generator.integers(0, 5)
        weights = np.where(department == liked, 8.0, 1.0) * (1.5 - np.arange(ITEM_COUNT) / ITEM_COUNT)
        items = generator.choice(ITEM_COUNT, 14, replace=False, p=weights / weights.sum())
        gap = generator.integers(3, 6)
        for item in items.tolist():
            interval = typical[item] * np.exp(generator.normal(0, 0.2))
            day = generator.uniform(0, interval)
            # Some needs end.
            end = _DAYS if generator.random() < 0.75 else generator.uniform(0, _DAYS)
            while day < end:
                trip = int(-(-day // gap) * gap)
                rows.append((household, _FIRST_DAY + trip, item))
                day += max(2.0, interval * generator.normal(1, 0.12))
    table = np.unique(np.array(rows), axis=0)
    if shuffled:
        table = generator.permutation(table)
    columns = {
        "household_id": table[:, 0],
        "date": pa.array(table[:, 1].astype(np.int32), pa.int32()).cast(pa.date32()),
        "item": [f"Zorblax {item:02d}" for item in table[:, 2].tolist()],
    }
    if prices:
        columns |= {
            "price": 1.0 + table[:, 2] / 10,
            "category": [f"aisle {number}" for number in department[table[:, 2]].tolist()],
        }
    parquet.write_table(pa.table(columns), path)
