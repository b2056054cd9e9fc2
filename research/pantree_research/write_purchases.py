"""Writes the households that are not reserved as a file for `pantree fit`, as any retailer has one.

python -m pantree_research.write_purchases build/purchases.parquet
pantree fit build/purchases.parquet --out build/models && pantree evaluate build/purchases.parquet --models build/models
"""

import argparse
from pathlib import Path

import pandas as pd

from pantree_research.quality.households import load_receipt_lines

_COLUMNS = ["household_id", "date", "product_id", "quantity", "price", "saving", "product_type", "product_category"]
_BARE_COLUMNS = ["household_id", "date", "product_id"]


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(prog="python -m pantree_research.write_purchases", description=__doc__)
    parser.add_argument("path", type=Path, help="Parquet file to write")
    parser.add_argument("--bare", action="store_true", help="without quantities, prices and groups")
    arguments = parser.parse_args()
    frame = load_receipt_lines().frame
    frame = frame.assign(date=pd.to_datetime(frame.day, unit="D").dt.date, product_id=frame.product_id.astype(str))
    arguments.path.parent.mkdir(parents=True, exist_ok=True)
    frame[_BARE_COLUMNS if arguments.bare else _COLUMNS].to_parquet(arguments.path, index=False)
    print(f"wrote {len(frame):,} lines of {frame.household_id.nunique():,} households to {arguments.path}")


if __name__ == "__main__":
    main()
