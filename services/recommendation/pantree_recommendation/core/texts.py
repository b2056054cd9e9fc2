"""The sentences that shoppers read, from `texts.toml`."""

import functools
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pantree_domain.money import CENT_DIGITS

DEFAULT_LANGUAGE = "en"
BUNDLED_TEXTS = Path(__file__).with_name("texts.toml")


@dataclass(frozen=True)
class Language:
    """Texts by code, texts of constraints that cannot be met, and forms by name, of one language."""

    name: str
    texts: Mapping[str, str]
    constraints: Mapping[str, Mapping[str, str]]
    forms: Mapping[str, Mapping[str, str]]

    def text(
        self,
        code: str,
        values: Mapping[str, float],
        *,
        other_item: str = "",
        goods: str = "",
        digits: int = CENT_DIGITS,
    ) -> str:
        """The sentence for a code.

        Args:
            code: of a reason.
            values: numbers by name; those that the sentence names must be there.
            other_item: name of another item.
            goods: label of a type of goods.
            digits: decimal places of amounts of money.
        """
        return self._filled(self.texts[code], {**values, "other_item": other_item, "goods": goods}, digits)

    def constraint_text(
        self, constraint: str, value: float | None, items: Sequence[str], digits: int = CENT_DIGITS
    ) -> str:
        """The sentence about a constraint that cannot be met.

        Args:
            constraint: name of its field in the contract.
            value: the nearest one that can be met; None when there is none.
            items: the items concerned.
            digits: decimal places of amounts of money.
        """
        variant = "_".join(["items"] * bool(items) + ["value"] * (value is not None)) or "plain"
        values = {"value": value, "items": ", ".join(items)}
        return self._filled(self.constraints[constraint][variant], values, digits)

    def _filled(self, template: str, values: Mapping[str, Any], digits: int) -> str:
        return "".join(
            literal if name is None else literal + self._formatted(values[name], form, digits)
            for literal, name, form in _parts(template)
        )

    def _formatted(self, value: Any, form: str | None, digits: int) -> str:
        """A value in one of the forms of the language."""
        if not form:
            return str(value)
        if form == "money":
            return f"{value:.{digits}f}"
        if form == "tenths":
            return str(round(10 * value))
        if form == "of_ten":
            return self._plural("shares", round(10 * value))
        number = round(value)
        if form == "every":
            number = max(number, 1)
            weeks, rest = divmod(number, 7)
            return self._plural("every_days", number) if rest else self._plural("every_weeks", weeks)
        return self._plural(form, number)

    def _plural(self, form: str, number: int) -> str:
        forms = self.forms[form]
        form_name = {0: "zero", 1: "one", 2: "two"}.get(number, "other")
        return forms.get(form_name, forms["other"]).format(n=number)


@functools.lru_cache(maxsize=256)  # there are fewer texts
def _parts(template: str) -> tuple[tuple[str, str | None, str | None], ...]:
    """The parts of a text: what precedes each value, its name and its form; both are None after the last value."""
    return tuple((literal, name, form) for literal, name, form, _ in string.Formatter().parse(template))


def read_texts(path: Path) -> dict[str, Language]:
    """The languages in a file with the format of `texts.toml`, by name.

    Raises:
        OSError: when the file cannot be read or is invalid.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            name: Language(name, table["texts"], table["constraints"], table["forms"]) for name, table in tables.items()
        }
    except (ValueError, KeyError, TypeError) as error:
        raise OSError(f"{path}: {error!r}") from error


@functools.cache
def load_texts() -> Language:
    """The bundled English texts, read once."""
    return read_texts(BUNDLED_TEXTS)[DEFAULT_LANGUAGE]
