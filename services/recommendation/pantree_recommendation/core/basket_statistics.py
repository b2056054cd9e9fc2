"""What other households' baskets say of items: sums over many households, never the baskets of one."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_domain.item_key import item_key

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

STATISTICS = ("log_popularity", "household_ratio", "repeat_ratio", "log_interval_days")
"""Per item: logarithm of the share of baskets that have it, share of households that bought it, share of its buyers who
bought it on two days or more, logarithm of the typical interval."""

LIKE_COUNT = 4
"""An unknown item is described by so many known ones."""
MIN_LIKENESS = 0.35
_MAX_CACHED_NAMES = 100_000


@dataclass(frozen=True, eq=False)
class Likeness:
    """How `m` items of a request are described by known ones."""

    indices: Integers
    """int64[m, LIKE_COUNT], positions in the vocabulary."""
    weights: Floats
    """float32[m, LIKE_COUNT]; a known item has 1 for itself. Rows of unlike items add up to less than 1."""

    @property
    def likeness(self) -> Floats:
        """float32[m], 1 for known items, 0 for items that are like none."""
        return np.asarray(self.weights.sum(axis=1))

    def of(self, values: Floats) -> Floats:
        """float[m], weighted sums of values of known items.

        Args:
            values: float[v].
        """
        if not len(values):
            return np.zeros(len(self.weights), np.float32)
        return np.asarray((values[self.indices] * self.weights).sum(axis=1))

    def spread(self, values: Floats, size: int) -> Floats:
        """float64[size], values of items as values of the known items that describe them.

        Args:
            values: float[m].
            size: number of known items.
        """
        weights = (self.weights * values[:, None]).ravel()
        return np.asarray(np.bincount(self.indices.ravel(), weights, minlength=size)[:size], np.float64)


@dataclass(frozen=True, eq=False)
class BasketStatistics:
    """Statistics over a vocabulary of `v` items in `g` groups."""

    names: tuple[str, ...]
    """`v` names."""
    groups: tuple[str, ...]
    """`g` groups, such as categories."""
    item_groups: Integers
    """int32[v], position of each item's group; -1 if unknown."""
    item_statistics: Floats
    """float32[v, len(STATISTICS)]."""
    group_statistics: Floats
    """float32[g, len(STATISTICS)], of a typical item of each group."""
    overall: Floats
    """float32[len(STATISTICS)], of a typical item."""
    factors: Floats
    """float32[v, r], orthonormal columns: directions in which households' purchases vary most."""
    together_items: Integers
    """int32[v, k], items that are most often in the same baskets; `v` where there are fewer."""
    together_weights: Floats
    """float32[v, k], cosine similarity by common baskets."""
    shared_items: Integers
    """int32[v, k], items that most of the same households buy; `v` where there are fewer."""
    shared_weights: Floats
    """float32[v, k], cosine similarity by common households."""
    _cache: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict, init=False, repr=False)

    @property
    def size(self) -> int:
        """Number of items in the vocabulary."""
        return len(self.names)

    @cached_property
    def _positions(self) -> Mapping[str, int]:
        return {item_key(name): position for position, name in enumerate(self.names)}

    @cached_property
    def _group_positions(self) -> Mapping[str, int]:
        return {item_key(name): position for position, name in enumerate(self.groups)}

    @cached_property
    def _tokens(self) -> tuple[Mapping[str, tuple[Integers, Floats]], Mapping[str, float]]:
        """For each word, the items that have it with its share of their length; and the words' weights."""
        words = [_words(item_key(name)) for name in self.names]
        counts: dict[str, int] = {}
        for own in words:
            for word in own:
                counts[word] = counts.get(word, 0) + 1
        rarity = {word: math.log(1 + self.size / count) for word, count in counts.items()}
        entries: dict[str, list[tuple[int, float]]] = {}
        for position, own in enumerate(words):
            length = math.sqrt(math.fsum(rarity[word] ** 2 for word in own))
            for word in own:
                entries.setdefault(word, []).append((position, rarity[word] / length))
        postings = {
            word: (np.array([item for item, _ in own]), np.array([share for _, share in own]))
            for word, own in entries.items()
        }
        return postings, rarity

    @cached_property
    def popular(self) -> Integers:
        """int64[v], items by popularity, the most popular first; ties by name."""
        return np.lexsort((np.arange(self.size), -self.item_statistics[:, 0]))

    def describe(self, names: Sequence[str]) -> Likeness:
        """Items of a request by those of the vocabulary: by equal names, else by common words."""
        keys = [item_key(name) for name in names]
        positions = np.array([self._positions.get(key, -1) for key in keys], np.int64)
        indices, weights = np.zeros((len(names), LIKE_COUNT), np.int64), np.zeros((len(names), LIKE_COUNT), np.float32)
        known = positions >= 0
        indices[known, 0], weights[known, 0] = positions[known], 1.0
        for row in np.flatnonzero(~known).tolist():
            alike, shares = self._alike(keys[row])
            indices[row, : len(alike)], weights[row, : len(alike)] = alike, shares
        return Likeness(indices, weights)

    def _alike(self, key: str) -> tuple[list[int], list[float]]:
        found = self._cache.get(key)
        if found is None:
            found = self._find_alike(key)
            if len(self._cache) < _MAX_CACHED_NAMES:
                self._cache[key] = found
        return found

    def _find_alike(self, key: str) -> tuple[list[int], list[float]]:
        """The most similar items by cosine of their words; similarities add up to that of the most similar one."""
        words = _words(key)
        if not words or not self.size:
            return [], []
        postings, rarity = self._tokens
        unknown = math.log(1 + self.size)
        length = math.sqrt(math.fsum(rarity.get(word, unknown) ** 2 for word in words))
        scores = np.zeros(self.size)
        for word in words:
            if word in postings:
                items, shares = postings[word]
                scores[items] += shares * rarity[word] / length
        best = np.lexsort((np.arange(self.size), -scores))[:LIKE_COUNT]
        best = best[scores[best] >= MIN_LIKENESS]
        if not len(best):
            return [], []
        own = scores[best]
        return best.tolist(), (own / own.sum() * min(1.0, float(own[0]))).tolist()

    def groups_of(self, likeness: Likeness, categories: Sequence[str]) -> Integers:
        """int64[m], group of each item: a known item's own, else that of its category; -1 if unknown.

        Categories that the vocabulary lacks get numbers of their own, from `g` on.
        """
        further: dict[str, int] = {}
        found = np.full(len(categories), -1, np.int64)
        if self.size:
            of_known = self.item_groups[likeness.indices[:, 0]]
            found = np.where((likeness.weights[:, 0] >= 1.0) & (of_known >= 0), of_known, found)
        for row in np.flatnonzero(found < 0).tolist():
            if categories[row]:
                key = item_key(categories[row])
                position = self._group_positions.get(key)
                found[row] = further.setdefault(key, len(self.groups) + len(further)) if position is None else position
        return found

    def of_items(self, likeness: Likeness, groups: Integers) -> Floats:
        """float32[m, len(STATISTICS)]; what likeness leaves open comes from the item's group, else from all items.

        Args:
            likeness: of m items.
            groups: int64[m], from `groups_of`.
        """
        known_group = (groups >= 0) & (groups < len(self.groups))
        fallback = np.broadcast_to(self.overall, (len(groups), len(STATISTICS))).copy()
        fallback[known_group] = self.group_statistics[groups[known_group]]
        rest = 1 - likeness.likeness[:, None]
        if not self.size:
            return fallback
        own = (self.item_statistics[likeness.indices] * likeness.weights[:, :, None]).sum(axis=1)
        return np.asarray(own + rest * fallback)

    def around(self, vector: Floats) -> Floats:
        """float[v], a household's purchase frequencies, smoothed by what other households buy.

        Args:
            vector: float64[v].
        """
        bought = np.flatnonzero(vector)
        return np.asarray(self.factors @ (vector[bought].astype(np.float32) @ self.factors[bought]))

    def together(self, vector: Floats) -> Floats:
        """float64[v], sums of the similarities by common baskets."""
        return _associated(vector, self.together_items, self.together_weights)

    def shared(self, vector: Floats) -> Floats:
        """float64[v], sums of the similarities by common households."""
        return _associated(vector, self.shared_items, self.shared_weights)

    def without_items(self, *, groups: bool) -> "BasketStatistics":
        """The same without a vocabulary, as a retailer sees it whose items are all unknown.

        Args:
            groups: whether groups stay known.
        """
        nothing = np.zeros((0, 1))
        return BasketStatistics(
            names=(),
            groups=self.groups if groups else (),
            item_groups=np.zeros(0, np.int32),
            item_statistics=np.zeros((0, len(STATISTICS)), np.float32),
            group_statistics=self.group_statistics if groups else np.zeros((0, len(STATISTICS)), np.float32),
            overall=self.overall,
            factors=nothing.astype(np.float32),
            together_items=nothing.astype(np.int32),
            together_weights=nothing.astype(np.float32),
            shared_items=nothing.astype(np.int32),
            shared_weights=nothing.astype(np.float32),
        )


def _associated(vector: Floats, items: Integers, weights: Floats) -> Floats:
    bought = np.flatnonzero(vector)
    sums = np.bincount(
        items[bought].ravel(), (weights[bought] * vector[bought, None]).ravel(), minlength=len(vector) + 1
    )
    return np.asarray(sums[: len(vector)], np.float64)


def _words(key: str) -> list[str]:
    """Distinct words of an item key, without plural endings."""
    return sorted({word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _SPLIT.findall(key)})


_SPLIT = re.compile(r"[^\W_]+")
