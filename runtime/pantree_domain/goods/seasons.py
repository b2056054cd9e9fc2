"""Goods of a season, and the days of the season."""

import calendar
import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pantree_domain.goods.phrases import Phrases, words_of

BUNDLED_SEASONS = Path(__file__).with_name("seasons.toml")
_CACHE_SIZE = 65_536


@dataclass(frozen=True)
class Season:
    """Goods that are bought in some months only."""

    id: str
    label: Mapping[str, str]
    """How texts name the goods, by language; at least `en`."""
    first_month: int
    """1 to 12."""
    last_month: int
    """Before `first_month` if the season includes New Year."""

    def includes(self, month: int) -> bool:
        """Whether a month, 1 to 12, belongs to the season."""
        if self.first_month <= self.last_month:
            return self.first_month <= month <= self.last_month
        return month >= self.first_month or month <= self.last_month

    def last_day(self, as_of: date) -> date | None:
        """Last day of the season that a day belongs to; None outside of the season."""
        if not self.includes(as_of.month):
            return None
        year = as_of.year + (as_of.month > self.last_month)
        return date(year, self.last_month, calendar.monthrange(year, self.last_month)[1])


class Seasons:
    """Recognizes goods of a season by the shop's category and by the name of an item."""

    def __init__(self, tables: Mapping[str, Mapping[str, object]]) -> None:
        seasons = {
            id_: Season(id_, table["label"], table["first_month"], table["last_month"])  # type: ignore[arg-type]
            for id_, table in tables.items()
        }
        self.seasons = tuple(seasons.values())

        def phrases(key: str) -> Phrases[Season]:
            lists: dict[str, Sequence[str]] = {id_: table.get(key, ()) for id_, table in tables.items()}  # type: ignore[misc]
            return Phrases((phrase, seasons[id_]) for id_, found in lists.items() for phrase in found)

        self._names, self._categories, self._exceptions = map(phrases, ("names", "categories", "exceptions"))
        self.match = functools.lru_cache(maxsize=_CACHE_SIZE)(self._match)

    def _match(self, name: str, category: str = "") -> Season | None:
        """The season of an item; None if it is bought all year."""
        words = words_of(name)
        found = [*self._names.found_in(words), *self._categories.found_in(words_of(category))]
        if not found:
            return None
        excepted = {season.id for season in self._exceptions.found_in(words)}
        return next((season for season in found if season.id not in excepted), None)


@functools.cache
def load_seasons() -> Seasons:
    """The bundled seasons, read once."""
    return Seasons(tomllib.loads(BUNDLED_SEASONS.read_text(encoding="utf-8")))
