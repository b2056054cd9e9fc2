"""The catalog, and the category of a free item name."""

import enum
import functools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pantree_domain.catalog.data import Words, read_items, read_words
from pantree_domain.catalog.item import OTHER, CatalogItem
from pantree_domain.catalog.names import normalize_name
from pantree_domain.catalog.variants import variants_of
from pantree_domain.catalog.vocabulary import Vocabulary

# Certainty of a category. Judgments that rank the cases; not fitted to data.
_EXACT_CERTAINTY = 1.0
_MIN_WORD_CERTAINTY = 0.5
_MAX_WORD_CERTAINTY = 0.95
_CONTRADICTED_RATIO = 0.85  # another word of the name indicates another category
_GUESSED_WORD_RATIO = 0.85  # a word is read as an abbreviation or misspelling
_UNKNOWN_CERTAINTY = 0.1

# Names recur from household to household.
_CACHE_SIZE = 32_768

# Minimum weight of the words that a name shares with an item that is returned with its category.
_MIN_SIMILARITY = 0.5
_MODIFIER_WEIGHT = 0.25

# Words after one of these only describe: "beans in tomato sauce" are beans.
_DESCRIPTIONS_BEGIN_WITH = frozenset({"with", "without", "in", "for", "on", "from"})


class _Strength(enum.IntEnum):
    INGREDIENT = 1
    FORM = 2
    MARKER = 3


@dataclass(frozen=True)
class Categorization:
    """Category of a free item name."""

    category: str
    """One of `CATEGORIES`; `other` if no word is known."""
    certainty_ratio: float
    """0 to 1; 1 only for names of catalog items."""
    item: CatalogItem | None
    """The most similar catalog item, if any is similar."""


@dataclass(frozen=True)
class _Clue:
    """A word or phrase that indicates a category."""

    category: str
    strength: _Strength


@dataclass(frozen=True)
class _Finding:
    """A clue at the words from `start` up to `end`."""

    clue: _Clue
    start: int
    end: int

    def lies_in(self, other: "_Finding") -> bool:
        return other.start <= self.start and self.end <= other.end and self.end - self.start < other.end - other.start


class Catalog:
    """Ordinary grocery items with distinct normalized names, and words that determine the category of other names."""

    def __init__(self, items: Sequence[CatalogItem], words: Words) -> None:
        self.items = tuple(items)
        self._by_name = {normalize_name(item.name): item for item in self.items}
        self._by_word: defaultdict[str, list[tuple[CatalogItem, frozenset[str]]]] = defaultdict(list)
        for name, item in self._by_name.items():
            item_words = frozenset(name.split())
            for word in sorted(item_words):
                self._by_word[word].append((item, item_words))
        self._modifiers = frozenset(words.modifiers)
        self._by_category: defaultdict[str, list[CatalogItem]] = defaultdict(list)
        self._by_kind: defaultdict[str, list[CatalogItem]] = defaultdict(list)
        for item in self.items:
            self._by_category[item.category].append(item)
            self._by_kind[item.kind].append(item)
        self._clues = {
            tuple(name.split()): _Clue(item.category, _Strength.FORM if " " in name else _Strength.INGREDIENT)
            for name, item in self._by_name.items()
        }
        for words_by_category, strength in (
            (words.ingredients, _Strength.INGREDIENT),
            (words.forms, _Strength.FORM),
            (words.markers, _Strength.MARKER),
        ):
            for category, phrases in words_by_category.items():
                self._clues.update({tuple(phrase.split()): _Clue(category, strength) for phrase in phrases})
        self.variants = tuple(variant for item in self.items for variant in variants_of(item))
        """What shops sell of the items, in their order; names are distinct."""
        self.variant_by_name = {variant.name: variant for variant in self.variants}
        # After the clues: a make does not decide the category of other names.
        for variant in self.variants:
            self._by_name.setdefault(normalize_name(variant.name), variant.item)
        self._max_clue_words = max(map(len, self._clues))
        self.categorize = functools.lru_cache(maxsize=_CACHE_SIZE)(self._categorize)
        self._vocabulary = Vocabulary(
            [
                *(word for clue in self._clues for word in clue),
                *sorted(self._modifiers),
                *sorted(_DESCRIPTIONS_BEGIN_WITH),
            ]
        )

    def items_in(self, category: str) -> tuple[CatalogItem, ...]:
        """Items of a category, in file order."""
        return tuple(self._by_category.get(category, ()))

    def items_of_kind(self, kind: str) -> tuple[CatalogItem, ...]:
        """Items of a kind, in file order."""
        return tuple(self._by_kind.get(kind, ()))

    def items_with_prefix(self, prefix: str) -> tuple[CatalogItem, ...]:
        """Items with a word that begins with a prefix: those whose names begin with it, then the others."""
        start = prefix.strip().casefold()
        names = [(item, item.name.casefold()) for item in self.items]
        first = [item for item, name in names if name.startswith(start)]
        others = [item for item, name in names if not name.startswith(start) and f" {start}" in name]
        return (*first, *others)

    def _categorize(self, name: str) -> Categorization:
        """Category of a free item name, with its certainty and the most similar catalog item.

        The name of a catalog item has that item's category. Otherwise words decide: markers take precedence over forms,
        and forms over ingredients. Of equally strong words, the last decides, since English puts the noun last:
        "orange juice", "chocolate milk". If no word is known, each is read as the known word that it truncates,
        abbreviates or misspells, with less certainty.
        """
        normalized = normalize_name(name)
        exact = self._by_name.get(normalized)
        if exact is not None:
            return Categorization(exact.category, _EXACT_CERTAINTY, exact)
        words = normalized.split()
        findings = self._findings(words)
        guessed = not findings
        if guessed:
            words = [self._vocabulary.nearest(word) for word in words]
            findings = self._findings(words)
        if not findings:
            return Categorization(OTHER, _UNKNOWN_CERTAINTY, None)
        described = next((at for at, word in enumerate(words) if word in _DESCRIPTIONS_BEGIN_WITH), len(words))
        decisive = max(
            findings,
            key=lambda finding: (
                finding.clue.strength is _Strength.MARKER,
                finding.start < described,
                finding.clue.strength,
                finding.end,
                -finding.start,
            ),
        )
        certainty_ratio = self._certainty(words, findings, decisive.clue.category)
        return Categorization(
            decisive.clue.category,
            certainty_ratio * _GUESSED_WORD_RATIO if guessed else certainty_ratio,
            self._nearest_item(words, decisive),
        )

    def knows(self, name: str) -> bool:
        """Whether a name contains a known word, as it is spelled."""
        return bool(self._findings(normalize_name(name).split()))

    def knows_word(self, word: str) -> bool:
        """Whether a word, in lower case and singular, is in the name of an item or describes items."""
        return word in self._by_word or word in self._vocabulary

    def _findings(self, words: Sequence[str]) -> list[_Finding]:
        """Clues in a name, except those inside longer clues."""
        findings = [
            _Finding(clue, start, start + length)
            for length in range(1, self._max_clue_words + 1)
            for start in range(len(words) - length + 1)
            if (clue := self._clues.get(tuple(words[start : start + length]))) is not None
        ]
        return [finding for finding in findings if not any(finding.lies_in(other) for other in findings)]

    def _certainty(self, words: Sequence[str], findings: Sequence[_Finding], category: str) -> float:
        """Certainty of a category: higher the more of the name is known, lower if a word indicates another category."""
        understood = {
            at for finding in findings if finding.clue.category == category for at in range(finding.start, finding.end)
        }
        known_weight = sum(self._weight(words[at]) for at in understood)
        share = known_weight / sum(map(self._weight, words))
        certainty = _MIN_WORD_CERTAINTY + (_MAX_WORD_CERTAINTY - _MIN_WORD_CERTAINTY) * share
        contradicted = any(finding.clue.category != category for finding in findings)
        return certainty * _CONTRADICTED_RATIO if contradicted else certainty

    def _nearest_item(self, words: Sequence[str], decisive: _Finding) -> CatalogItem | None:
        """The most similar item of the category that contains the decisive word, or an item of that kind."""
        category, name_words = decisive.clue.category, frozenset(words)
        candidates = [
            (self._similarity(name_words, item_words), item)
            for item, item_words in self._by_word.get(words[decisive.end - 1], ())
            if item.category == category
        ]
        similarity, nearest = max(candidates, key=lambda candidate: candidate[0], default=(0.0, None))
        if similarity >= _MIN_SIMILARITY:
            return nearest
        kind = "_".join(words[decisive.start : decisive.end])
        return next((item for item in self.items_of_kind(kind) if item.category == category), None)

    def _similarity(self, some: frozenset[str], others: frozenset[str]) -> float:
        """Weight of the shared words divided by that of all words, 0 to 1."""
        return sum(map(self._weight, some & others)) / sum(map(self._weight, some | others))

    def _weight(self, word: str) -> float:
        return _MODIFIER_WEIGHT if word in self._modifiers else 1.0


@functools.cache
def load_catalog() -> Catalog:
    """The bundled catalog, read once."""
    return Catalog(read_items(), read_words())
