"""What the columns of a file mean: known layouts by their headers, and common names of columns."""

import functools
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

ROLES: Mapping[str, str] = {
    "date": "day of the purchase",
    "days_since": "days since the household's previous order",
    "day_number": "day counted from an unknown first day",
    "item": "name of the item",
    "item_id": "the shop's own id of the item",
    "variant": "variant or pack size",
    "category": "the shop's own category",
    "quantity": "units",
    "price": "shelf price of one unit",
    "total": "amount of the line before discounts",
    "paid": "amount of the line after discounts",
    "saving": "amount that discounts took off the line",
    "saving_percent": "discount in percent",
    "household": "household or customer",
    "receipt": "number of the order or receipt",
    "order_number": "position of the order among the household's orders",
    "status": "state of the order",
    "currency_code": "ISO 4217 code",
}
"""Roles of columns, and what they hold."""

_ROLES_OF_PURCHASE = ("date", "days_since", "day_number")


@dataclass(frozen=True)
class Layout:
    """Columns of a known export, which is recognized by some of them."""

    name: str
    signature: frozenset[str]
    columns: Mapping[str, str]
    """Normalized column by role; other roles are found by the common names."""
    ignored: frozenset[str] = frozenset()
    """Roles that this export does not have, although a column is named like one."""
    savings: tuple[str, ...] = ()
    """Further columns of savings, which are added."""


@functools.cache
def _data() -> tuple[Mapping[str, Sequence[str]], Sequence[Layout]]:
    """Common names of columns by role, and the known layouts."""
    data = tomllib.loads(resources.files(__package__).joinpath("layouts.toml").read_text("utf-8"))
    layouts = [
        Layout(
            name=one["name"],
            signature=frozenset(one["signature"]),
            columns=one["columns"],
            ignored=frozenset(one.get("ignored", ())),
            savings=tuple(one.get("savings", ())),
        )
        for one in data["layouts"]
    ]
    return data["names"], layouts


@dataclass(frozen=True)
class Columns:
    """Positions of the columns of a file by role."""

    layout: str
    """Empty if the columns have been found one by one."""
    positions: Mapping[str, int]
    savings: tuple[int, ...] = ()
    """Further columns of savings."""


def normalized(name: str) -> str:
    """Name of a column in lower case, without accents, as words with single spaces: `InvoiceNo` is `invoice no`."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip().lstrip("\ufeff"))
    name = name.replace("ß", "ss").replace("ł", "l").replace("Ł", "L")
    decomposed = unicodedata.normalize("NFD", name.casefold())
    if any("a" <= character <= "z" for character in decomposed):
        name = "".join(character for character in decomposed if not unicodedata.combining(character))
    else:
        name = name.casefold()
    return " ".join(re.sub(r"[\W_]+", " ", name).split())


def find_columns(header: Sequence[str], given: Mapping[str, int]) -> Columns:
    """Columns of a header.

    Args:
        header: names of the columns.
        given: positions that the caller gives.
    """
    names_of_roles, layouts = _data()
    names = [_without_unit(normalized(name)) for name in header]
    first = {name: position for position, name in reversed(list(enumerate(names))) if name}
    layout = next((one for one in layouts if one.signature <= first.keys()), None)
    positions = dict(given)
    ignored = layout.ignored if layout else frozenset()
    if layout:
        for role, name in layout.columns.items():
            if name in first and role not in given:
                positions[role] = first[name]
    taken = set(positions.values())
    for role, candidates in names_of_roles.items():
        if role in positions or role in ignored:
            continue
        position = next((first[name] for name in candidates if name in first and first[name] not in taken), None)
        if position is not None:
            positions[role] = position
            taken.add(position)
    if re.search("percent|pct|%|rate", header[positions["saving"]].lower()) if "saving" in positions else False:
        positions["saving_percent"] = positions.pop("saving")
    if "date" in positions and names[positions["date"]] == "day" and layout and layout.name.startswith("Complete"):
        positions["day_number"] = positions.pop("date")
    more = tuple(first[name] for name in layout.savings if name in first) if layout else ()
    return Columns(layout.name if layout else "", positions, more)


def _without_unit(name: str) -> str:
    """Name of a column without the unit or currency behind it, such as `price eur` or `unit price usd`."""
    return re.sub(r"(?<=\w) (?:usd|eur|gbp|cad|aud|chf|jpy|inr|pln|sek|nok|dkk|kg|incl vat|ttc)$", "", name)


def score(header: Sequence[str]) -> int:
    """Number of roles that a row has as a header; 0 if it cannot be one."""
    positions = find_columns(header, {}).positions
    if "item" not in positions and "item_id" not in positions:
        return 0
    return len(positions) if any(role in positions for role in _ROLES_OF_PURCHASE) else 0
