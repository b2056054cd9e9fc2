"""Receipt lines of made-up households, small enough for tests."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

AS_OF = date(2026, 6, 1)
ITEMS = (("Milk", "dairy", 1.49), ("Bananas", "produce", 1.99), ("Coffee", "beverages", 8.99), ("Rice", "pantry", 3.5))


def lines_of(household: str, interval_days: int = 7, count: int = 12) -> list[dict[str, Any]]:
    """Lines of a household that buys some items again and again, the first ones more often."""
    return [
        {
            "household": household,
            "date": AS_OF - timedelta(days=interval_days * (trip + 1) + (trip * number) % 3),
            "item": item,
            "category": category,
            "quantity": 1 + trip % 2,
            "price": price,
            "saving": round(0.1 * (trip % 3), 2),
        }
        for trip in range(count)
        for number, (item, category, price) in enumerate(ITEMS)
        if trip % (number + 1) == 0
    ]


def population(count: int) -> list[dict[str, Any]]:
    """Lines of some households, each with its own interval."""
    return [line for number in range(count) for line in lines_of(f"h{number:03}", 5 + number % 9, 8 + number % 7)]


def write(file: Path, lines: list[dict[str, Any]], **columns: pa.DataType) -> Path:
    """Writes lines as Parquet; types of columns are inferred unless they are given."""
    table = pa.Table.from_pylist(lines)
    for name, kind in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    parquet.write_table(table, file)
    return file
