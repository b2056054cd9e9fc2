"""Numbers as people write them: decimal separators, thousands, currency signs, signs on either side."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from pantree_reader.errors import refuse, shortened
from pantree_reader.tables import Cell, text_of

# Currency signs that stand for one currency only. `$`, `¥` and `kr` stand for several.
_CODE_OF_SIGN = {
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₩": "KRW",
    "₺": "TRY",
    "₽": "RUB",
    "zł": "PLN",
    "₫": "VND",
    "₪": "ILS",
}
_SHARED_SIGNS = ("US$", "CA$", "A$", "NT$", "R$", "$", "¥", "kr", "Fr.", "円")
_CODE_OF_DOLLAR = {"US$": "USD", "CA$": "CAD", "A$": "AUD", "NT$": "TWD", "R$": "BRL", "円": "JPY"}
_SIGN = "|".join(re.escape(sign) for sign in (*_CODE_OF_SIGN, *_SHARED_SIGNS))
_MONEY = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−])?\s*(?P<before>{_SIGN}|[A-Z]{{3}}(?=[\s\d.-]))?\s*(?P<sign2>[-−])?"
    rf"(?P<number>[0-9][0-9.,'’\s]*|\.[0-9]+)(?P<percent>%)?\s*(?P<after>{_SIGN}|[A-Z]{{3}})?(?P<sign3>[-−])?(?P<close>\))?"
)
_SEPARATORS = re.compile(r"[.,]")
_GROUPED = {
    ".": re.compile(r"\d{1,3}(?:([,'’\s])\d{2,3})(?:\1\d{2,3})*|\d+"),
    ",": re.compile(r"\d{1,3}(?:([.'’\s])\d{3})(?:\1\d{3})*|\d+"),
}


@dataclass(frozen=True)
class Number:
    """A number, with what else its cell says."""

    value: Decimal
    currency: str = ""
    """Code or sign; empty if there is none."""
    is_percent: bool = False
    has_decimals: bool = False


def currency_code_of(currency: str) -> str:
    """ISO 4217 code of a code or sign; empty if several currencies have the sign."""
    if re.fullmatch("[A-Z]{3}", currency):
        return currency
    return _CODE_OF_SIGN.get(currency) or _CODE_OF_DOLLAR.get(currency, "")


def parse_number(cell: Cell, decimal: str) -> Number | None:
    """Number in a cell; None if there is none.

    Args:
        cell: the cell.
        decimal: separator of decimals, `.` or `,`.
    """
    if isinstance(cell, int | float | Decimal):
        value = Decimal(str(cell))
        return Number(value, has_decimals=value != value.to_integral_value()) if value.is_finite() else None
    match = _MONEY.fullmatch(text_of(cell).replace("\u00a0", " ").replace("\u202f", " "))
    if match is None or bool(match["open"]) != bool(match["close"]) or (match["before"] and match["after"]):
        return None
    whole, separator, decimals = match["number"].strip().rpartition(decimal)
    if not separator:
        whole, decimals = decimals, ""
    if not decimals.isdecimal() and decimals:
        return None
    grouped = _GROUPED[decimal].fullmatch(whole or "0")
    if grouped is None or (grouped[1] and not re.search(r"\d{3}$", whole)):
        return None
    digits = re.sub(r"\D", "", whole) or "0"
    try:
        value = Decimal(f"{digits}.{decimals}" if decimals else digits)
    except InvalidOperation:
        return None
    minuses = sum(match[name] in ("-", "−") for name in ("sign", "sign2", "sign3")) + bool(match["open"])
    if minuses > 1:
        return None
    return Number(
        -value if minuses else value, match["before"] or match["after"] or "", bool(match["percent"]), bool(decimals)
    )


def detect_decimal(cells: Iterable[tuple[int, str, Cell]]) -> str:
    """Decimal separator of a file's numbers.

    Args:
        cells: line, column and cell of every number.

    Raises:
        InvalidInput: when numbers contradict each other, or may be read in both ways.
    """
    evidence: dict[str, tuple[int, str, str]] = {}
    undecided: tuple[int, str, str] | None = None
    for line, column, cell in cells:
        if not isinstance(cell, str):
            continue
        number = re.sub(r"^\D+|[^\d.,]+$", "", cell)
        separators = _SEPARATORS.findall(number)
        if not separators:
            continue
        last = separators[-1]
        behind = number.rpartition(last)[2]
        before = number.rpartition(last)[0]
        found: str | None
        if separators.count(last) > 1:
            found = {".": ",", ",": "."}[last]  # 1.234.567
        elif len(set(separators)) > 1 or len(behind) != 3 or before in ("0", "") or len(before) > 3:
            found = last
        else:
            undecided = undecided or (line, column, cell)
            continue
        evidence.setdefault(found, (line, column, cell))
    if len(evidence) > 1:
        line, column, cell = max(evidence.values())
        other = min(evidence.values())
        refuse(
            f"line {line}, {column}",
            f"{shortened(cell)} has another decimal separator than {shortened(other[2])} in line {other[0]}; "
            "correct the lines, or give the decimal separator",
        )
    if evidence:
        return next(iter(evidence))
    if undecided is not None:
        line, column, cell = undecided
        refuse(
            f"line {line}, {column}",
            f"{shortened(cell)} may have a decimal or a thousands separator; give the decimal separator, . or ,",
        )
    return "."
