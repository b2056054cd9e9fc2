"""What other households' purchases say of an item before this household's own: typical rhythm, spread, repeat rate.

Priors are kept per type and per category, each in two senses: the type bought as a whole, whichever product it is
(`own`), and a single product of the type (`member`). An unknown item falls back from its name to its type, its
category, and to all items.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Columns of a prior.
PRIOR = (
    "log_interval",  # mean of log days between purchases
    "log_deviation",  # standard deviation of log days, within and between households
    "within_28",  # share of purchases that are followed by another within 28 days
    "within_84",
    "log_rate",  # log of repeat purchases per day since the first
    "repeat_ratio",  # share of buyers who bought more than once
    "promotion_ratio",  # share of purchase days on promotion
    "log_evidence",  # log1p of the buyers behind these figures; 0 where the prior is a fallback
)
PRIOR_SIZE = len(PRIOR)


@functools.lru_cache(maxsize=8192)
def normalized(name: str) -> str:
    """A name as priors know it: lower case, letters and digits, single spaces."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


@dataclass(frozen=True)
class Priors:
    """Priors by normalised name."""

    everything: NDArray[np.float32]
    """[PRIOR_SIZE], over all items."""
    own: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a type or category as a whole."""
    member: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a single product of a type or category."""
    product: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a single product by its own name, where enough households bought it."""

    def of_items(
        self, names: Sequence[str], types: Sequence[str], categories: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Priors of items, of their types and of their categories, float32[k, PRIOR_SIZE] each.

        Args:
            names: k names.
            types: k types; an empty string means unknown.
            categories: k categories; an empty string means unknown.
        """
        known: dict[str, str] = {text: normalized(text) for text in {*types, *categories}}
        size = len(names)
        item = np.empty((size, PRIOR_SIZE), np.float32)
        type_ = np.empty((size, PRIOR_SIZE), np.float32)
        category = np.empty((size, PRIOR_SIZE), np.float32)
        missing = np.full(PRIOR_SIZE, np.nan, np.float32)
        for position, name in enumerate(names):
            own_type, own_category = known[types[position]], known[categories[position]]
            known_name = normalized(name)
            prior = self.product.get(known_name) if own_type else self.own.get(known_name)
            for group in (own_type, own_category):
                if prior is None and group:
                    prior = self.member.get(group)
            item[position] = self.everything if prior is None else prior
            type_[position] = self.own.get(own_type, missing) if own_type else missing
            category[position] = self.own.get(own_category, missing) if own_category else missing
        return item, type_, category
