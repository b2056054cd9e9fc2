"""What a household lately paid for an item, robust to a single receipt."""

from collections.abc import Sequence
from typing import NamedTuple

# Purchases that say what is paid lately.
MAX_PURCHASES = 8
# Shelf prices this close are one price; a smaller step is a rounding, a larger one a new price.
_SAME_PRICE_RATIO = 1.1
# A price this far from the others, once, is a slip or a pack of another size.
_OUTLIER_RATIO = 1.6
# Goods by weight have another price on nearly every receipt.
_MIN_DISTINCT_RATIO = 0.6
_MIN_PURCHASES_BY_WEIGHT = 4
_MIN_TO_JUDGE_OUTLIERS = 3
_MIN_TO_TRIM = 5
# Weight of the usual discount, in purchases; of 0, 1, 2 and 4 the best on fitting households (84.51°, 2017): promised
# over real savings of products without a promotion are 1.24, 1.07, .95 and .78 at a discount of 15 %.
_USUAL_PURCHASES = 2
_MIN_PROMOTION_RATIO = 0.02


class PaidLine(NamedTuple):
    """A receipt line of an item."""

    day: int
    """Days since 1970-01-01."""
    quantity: int
    price: float
    """Shelf price of one unit."""
    saving: float
    """On the whole line."""


class ReferencePrice(NamedTuple):
    """Prices of one unit, as a household lately found and paid them."""

    shelf: float
    paid: float
    """Expected, promotions included: the mean of the last payments, drawn toward the household's usual discount."""
    deviation: float
    """Sample standard deviation of what was paid; 0 when it did not differ."""
    latest_paid: float
    purchase_count: int
    """Purchases behind it, at least 1."""
    usual_discount_ratio: float
    """Share of shelf prices that promotions take off all of the household's purchases, 0 to 1."""
    promoted: bool
    """Whether any of the purchases behind it was on promotion."""
    by_weight: bool
    """Whether the price differs on nearly every receipt, so that no single one is the price."""


def reference_price(lines: Sequence[PaidLine], usual_discount_ratio: float = 0.0) -> ReferencePrice | None:
    """The reference price of one item; None when it was never paid for.

    The last purchases at the present shelf price count, up to `MAX_PURCHASES`; the highest and the lowest payment do
    not, from five purchases on. When the shelf price has just changed, all of the last purchases count, but not for
    more than the latest payment.

    Promotions come and go: the expected payment counts two more purchases at the usual discount. On validation
    households the savings promised then add up to what they are over the following 84 days, within 5 %.

    Args:
        lines: of the item, by day.
        usual_discount_ratio: see `ReferencePrice`.
    """
    purchases = _last_purchases(lines)
    if not purchases:
        return None
    purchases = _without_outliers(purchases)
    promoted = any(payment < price * (1 - _MIN_PROMOTION_RATIO) for price, payment in purchases)
    shelf = [purchase[0] for purchase in purchases]
    paid = [purchase[1] for purchase in purchases]
    if len(shelf) >= _MIN_PURCHASES_BY_WEIGHT and _distinct_ratio(shelf) > _MIN_DISTINCT_RATIO:
        center = _median(paid)
        usual_price = _median(shelf)
        expected = _expected(center, usual_price, len(paid), usual_discount_ratio)
        return ReferencePrice(
            usual_price, expected, _deviation(paid), center, len(paid), usual_discount_ratio, promoted, by_weight=True
        )
    run = 0
    while run < len(shelf) and _same(shelf[-1 - run], shelf[-1]):
        run += 1
    latest = paid[-1]
    if run >= 2 or len(shelf) == 1:
        paid = paid[-run:]
        mean = _trimmed_mean(paid)
    else:
        mean = min(_trimmed_mean(paid), latest)
    expected = _expected(mean, shelf[-1], len(paid), usual_discount_ratio)
    return ReferencePrice(
        shelf[-1], expected, _deviation(paid), latest, len(paid), usual_discount_ratio, promoted, by_weight=False
    )


def _distinct_ratio(prices: Sequence[float]) -> float:
    return len({round(price, 2) for price in prices}) / len(prices)


def _expected(mean: float, shelf: float, count: int, usual_discount_ratio: float) -> float:
    usual = shelf * (1 - usual_discount_ratio)
    return round((mean * count + usual * _USUAL_PURCHASES) / (count + _USUAL_PURCHASES), 9)


def _last_purchases(lines: Sequence[PaidLine]) -> list[tuple[float, float]]:
    """Shelf price and payment per unit on the last days with a price, latest last."""
    found: list[tuple[float, float]] = []
    at = len(lines)
    while at and len(found) < MAX_PURCHASES:
        day, units, shelf, saving = lines[at - 1].day, 0, 0.0, 0.0
        while at and lines[at - 1].day == day:
            at -= 1
            line = lines[at]
            units += line.quantity
            shelf += line.price * line.quantity
            saving += line.saving
        if shelf > 0:
            found.append((round(shelf / units, 9), round(max(shelf - saving, 0.0) / units, 9)))
    return found[::-1]


def _without_outliers(purchases: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(purchases) < _MIN_TO_JUDGE_OUTLIERS:
        return purchases
    shelf = [price for price, _ in purchases]
    typical = _median(shelf)
    kept = [
        purchase
        for at, purchase in enumerate(purchases)
        if typical / _OUTLIER_RATIO <= purchase[0] <= typical * _OUTLIER_RATIO
        # Two prices in a row are a new price, not an outlier.
        or (at > 0 and _same(shelf[at - 1], shelf[at]))
        or (at + 1 < len(shelf) and _same(shelf[at], shelf[at + 1]))
    ]
    return kept if 2 * len(kept) > len(purchases) else purchases


def _same(some: float, other: float) -> bool:
    return some <= other * _SAME_PRICE_RATIO and other <= some * _SAME_PRICE_RATIO


def _trimmed_mean(paid: Sequence[float]) -> float:
    chosen = sorted(paid)[1:-1] if len(paid) >= _MIN_TO_TRIM else paid
    return round(sum(chosen) / len(chosen), 9)


def _deviation(paid: Sequence[float]) -> float:
    if len(paid) < 2:
        return 0.0
    mean = sum(paid) / len(paid)
    return float(round((sum((value - mean) ** 2 for value in paid) / (len(paid) - 1)) ** 0.5, 9))


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
