"""Recognizes types of goods by the shop's category and by the name of an item, and returns their rules."""

import enum
import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from pantree_domain.catalog.catalog import load_catalog
from pantree_domain.catalog.vocabulary import Vocabulary
from pantree_domain.goods.phrases import PREFIX_LETTERS, Phrases, pattern_words, words_of

BUNDLED_GOODS = Path(__file__).with_name("goods.toml")

_ID = re.compile(r"[a-z][a-z0-9_]*")
# A receipt rarely shortens a word of less than eight letters, and short words resemble too many others.
_MIN_SIMILAR_LETTERS = 8
_CACHE_SIZE = 65_536


class Offering(enum.Enum):
    """Whether goods may be offered as a subscription."""

    NEVER = "never"
    OPT_IN = "opt_in"
    """Only if the retailer opts in."""
    ALWAYS = "always"


@dataclass(frozen=True)
class GoodsType:
    """A type of goods and its rules.

    Raises:
        ValueError: when the name or a label is missing, or no phrase recognizes the type.
    """

    id: str
    """Such as `gift_cards`."""
    label: Mapping[str, str]
    """How texts name the goods, by language; at least `en`."""
    explanation: str
    """Why the rule exists."""
    offer: Offering = Offering.ALWAYS
    discount: bool = True
    """Whether a discount may be given and a saving claimed; False if `offer` is NEVER."""
    suggest: bool = True
    """Whether it may be suggested because similar customers buy it; only if `offer` is ALWAYS."""
    merchandise: bool = True
    """False for lines of a receipt that are not articles, such as taxes."""
    categories: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    whole_names: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"{self.id!r} must consist of lower-case letters, digits and underscores")
        if not self.label.get("en"):
            raise ValueError(f"{self.id}: label.en is required")
        for phrase in (*self.categories, *self.names, *self.whole_names, *self.exceptions):
            _check_phrase(self.id, phrase)
        if not (self.categories or self.names or self.whole_names):
            raise ValueError(f"{self.id}: categories, names or whole_names must have a phrase")
        if self.offer is not Offering.ALWAYS:
            object.__setattr__(self, "suggest", False)
        if self.offer is Offering.NEVER:
            object.__setattr__(self, "discount", False)


class GoodsMatch(NamedTuple):
    """The type of an item."""

    goods: GoodsType
    certain: bool
    """False when an unknown name only resembles such goods."""


class GoodsPolicy:
    """The rules of a retailer for types of goods.

    Args:
        types: with distinct ids. Of several types that match an item, the one with the strictest rules wins, then the
            first.
        opted_in: ids of the types with `Offering.OPT_IN` that the retailer offers.

    Raises:
        ValueError: when two types have the same id, or an opted-in type does not exist or needs no opting in.
    """

    def __init__(self, types: Sequence[GoodsType], opted_in: Iterable[str] = ()) -> None:
        self.types = tuple(types)
        by_id = {goods.id: goods for goods in self.types}
        if len(by_id) < len(self.types):
            raise ValueError("every type of goods must have a name of its own")
        self.opted_in = frozenset(opted_in)
        for id_ in sorted(self.opted_in):
            if id_ not in by_id or by_id[id_].offer is not Offering.OPT_IN:
                choices = ", ".join(goods.id for goods in self.types if goods.offer is Offering.OPT_IN)
                raise ValueError(f"{id_!r} is not a type of goods to opt in to; use {choices}")
        self._strictness = {goods.id: place for place, goods in enumerate(sorted(self.types, key=_leniency))}
        self._categories = Phrases((phrase, goods) for goods in self.types for phrase in goods.categories)
        self._names = Phrases((phrase, goods) for goods in self.types for phrase in goods.names)
        self._exceptions = Phrases((phrase, goods) for goods in self.types for phrase in goods.exceptions)
        self._by_whole_name: defaultdict[str, list[GoodsType]] = defaultdict(list)
        for goods in self.types:
            for name in goods.whole_names:
                self._by_whole_name[" ".join(words_of(name))].append(goods)
        self._by_similar_word = {
            words[0].rstrip("*"): goods
            for goods in sorted(self.types, key=_leniency, reverse=True)
            for words in map(pattern_words, goods.names)
            if len(words) == 1 and len(words[0].rstrip("*")) >= _MIN_SIMILAR_LETTERS
        }
        self.match = functools.lru_cache(maxsize=_CACHE_SIZE)(self._match)

    def may_offer(self, goods: GoodsType) -> bool:
        """Whether goods of a type may be offered as a subscription."""
        return goods.offer is Offering.ALWAYS or (goods.offer is Offering.OPT_IN and goods.id in self.opted_in)

    def _match(self, name: str, category: str = "") -> GoodsMatch | None:
        """The type of an item; None for ordinary groceries.

        A name that neither the catalog nor the policy knows is compared with the policy's words by its spelling.
        """
        words, category_words = words_of(name), words_of(category)
        found = [
            *self._names.found_in(words),
            *self._by_whole_name.get(" ".join(words), ()),
            *self._categories.found_in(category_words),
        ]
        certain = bool(found)
        if not found:
            found = self._similar(name, words)
        if not found:
            return None
        exceptions = (*self._exceptions.found_in(words), *self._exceptions.found_in(category_words))
        excepted = {goods.id for goods in exceptions}
        remaining = [goods for goods in found if goods.id not in excepted]
        if not remaining:
            return None
        return GoodsMatch(min(remaining, key=lambda goods: self._strictness[goods.id]), certain)

    def _similar(self, name: str, words: Sequence[str]) -> list[GoodsType]:
        similar = [
            self._by_similar_word[known]
            for word in words
            if len(word) >= _MIN_SIMILAR_LETTERS - 1
            if (known := self._vocabulary.nearest(word)) in self._by_similar_word
        ]
        return [] if not similar or load_catalog().knows(name) else similar

    @functools.cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._by_similar_word)


def _leniency(goods: GoodsType) -> tuple[int, bool, bool]:
    strictness = (Offering.NEVER, Offering.OPT_IN, Offering.ALWAYS).index(goods.offer)
    return strictness, goods.discount, goods.suggest


def read_goods(path: Path) -> tuple[GoodsType, ...]:
    """The types in a file with the format of `goods.toml`.

    Raises:
        OSError: when the file cannot be read or is invalid.
    """
    try:
        return tuple(_goods_type(id_, table) for id_, table in tomllib.loads(path.read_text(encoding="utf-8")).items())
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error


def _goods_type(id_: str, table: object) -> GoodsType:
    if not isinstance(table, dict):
        raise ValueError(f"{id_} must be a table")
    known = {field.name for field in fields(GoodsType)} - {"id"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise ValueError(f"{id_}: unknown key {unknown[0]!r}; use {', '.join(sorted(known))}")
    values = dict(table)
    _check(id_, values)
    values["offer"] = Offering(values.get("offer", "always"))
    for key in ("categories", "names", "whole_names", "exceptions"):
        values[key] = tuple(values.get(key, ()))
    return GoodsType(id_, **values)


def _check(id_: str, values: Mapping[str, object]) -> None:
    for key in ("label", "explanation"):
        if key not in values:
            raise ValueError(f"{id_}: {key} is required")
    if not isinstance(values["label"], dict) or not all(isinstance(text, str) for text in values["label"].values()):
        raise ValueError(f'{id_}: label must be a table of texts by language, such as {{ en = "tobacco" }}')
    if not isinstance(values["explanation"], str):
        raise ValueError(f"{id_}: explanation must be a text")
    if values.get("offer", "always") not in {offering.value for offering in Offering}:
        choices = ", ".join(offering.value for offering in Offering)
        raise ValueError(f"{id_}: offer must be one of {choices}; is {values['offer']!r}")
    for key in ("discount", "suggest", "merchandise"):
        if not isinstance(values.get(key, True), bool):
            raise ValueError(f"{id_}: {key} must be true or false")
    for key in ("categories", "names", "whole_names", "exceptions"):
        phrases = values.get(key, [])
        if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
            raise ValueError(f"{id_}: {key} must be a list of phrases")


@functools.cache
def load_goods_policy(path: Path | None = None, opted_in: frozenset[str] = frozenset()) -> GoodsPolicy:
    """The bundled policy with the changes of a retailer, read once.

    Args:
        path: file whose types replace the bundled ones of the same name, and whose other types are added; None for no
            changes. A type with `offer = "always"` allows what the bundled policy forbids.
        opted_in: as in `GoodsPolicy`.

    Raises:
        OSError: when the file cannot be read or is invalid.
    """
    types = {goods.id: goods for goods in read_goods(BUNDLED_GOODS)}
    if path is not None:
        types.update((goods.id, goods) for goods in read_goods(path))
    try:
        return GoodsPolicy(tuple(types.values()), opted_in)
    except ValueError as error:
        raise OSError(str(error)) from error


def _check_phrase(id_: str, phrase: str) -> None:
    words = pattern_words(phrase)
    if not words:
        raise ValueError(f"{id_}: {phrase!r} has no word")
    if any(word.endswith("*") and len(word) <= PREFIX_LETTERS for word in words):
        raise ValueError(f"{id_}: {phrase!r} has a prefix of less than {PREFIX_LETTERS} letters")
