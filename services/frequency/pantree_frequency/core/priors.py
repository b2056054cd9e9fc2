"""Priors: how an item's intervals look in other households, before this household's own purchases are known.

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

from pantree_frequency.core.records import PRIOR, Records
from pantree_frequency.core.rhythm import DEFAULT_PRIOR, RhythmPrior

PRIOR_NAMES = PRIOR.names or ()
_MISSING = np.full(len(PRIOR_NAMES), np.nan, np.float32)


@functools.lru_cache(maxsize=8192)
def normalized(name: str) -> str:
    """A name as priors know it: lower case, letters and digits, single spaces."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


@dataclass(frozen=True)
class Priors:
    """Priors by normalized name; each is float32[len(PRIOR_NAMES)]."""

    everything: NDArray[np.float32]
    """Over all items."""
    own: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a type or category as a whole."""
    member: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a single product of a type or category."""
    product: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """Of a single product by its own name, where enough households bought it."""
    rhythm: RhythmPrior = DEFAULT_PRIOR
    """How regular needs are."""

    def of_items(
        self, names: Sequence[str], types: Sequence[str], categories: Sequence[str]
    ) -> tuple[Records, Records, Records]:
        """PRIOR[k] of items, of their types and of their categories; NaN where a type or category is unknown.

        Args:
            names: k names.
            types: k types; an empty string means unknown.
            categories: k categories; an empty string means unknown.
        """
        known = {text: normalized(text) for text in {*types, *categories}}
        type_keys, category_keys = [known[text] for text in types], [known[text] for text in categories]
        return (
            _records([self._of_item(*keys) for keys in zip(names, type_keys, category_keys, strict=True)]),
            _records([self.own.get(key, _MISSING) if key else _MISSING for key in type_keys]),
            _records([self.own.get(key, _MISSING) if key else _MISSING for key in category_keys]),
        )

    def _of_item(self, name: str, type_key: str, category_key: str) -> NDArray[np.float32]:
        name_key = normalized(name)
        prior = self.product.get(name_key) if type_key else self.own.get(name_key)
        for group in (type_key, category_key):
            if prior is None and group:
                prior = self.member.get(group)
        return self.everything if prior is None else prior


def _records(rows: Sequence[NDArray[np.float32]]) -> Records:
    return np.array(rows, np.float32).reshape(-1).view(PRIOR)
