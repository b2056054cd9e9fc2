"""What the lines of receipts mean: charges, repeated exports, refunds, discounts, weights."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from pantree_domain.item_key import item_key
from pantree_domain.limits import MAX_NAME_CHARACTERS
from pantree_reader.charges import is_charge, names_discount
from pantree_reader.notes import NoteKind, Notes

# Distinct days or receipts on which every line must be repeated to be a repeated export.
_MIN_REPEATED_RECEIPTS = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_PRICE_STEP = Decimal("0.0001")


@dataclass(frozen=True)
class ReceiptLine:
    """One line of a receipt as Pantree takes it."""

    line: int
    """Of the file."""
    name: str
    day: date
    quantity: int
    """Units; goods by weight count as one."""
    price: float | None
    """Shelf price of one unit before discounts; None if the file has no prices."""
    saving: float
    """Amount that discounts took off the line."""
    category: str
    item_id: str
    variant: str


@dataclass
class RawLine:
    """One line of a file, with its values parsed and not yet interpreted."""

    line: int
    household: str
    receipt: str
    day: date
    name: str
    quantity: Decimal
    price: Decimal | None
    """Of one unit; negative for a discount or a refund."""
    saving: Decimal
    category: str = ""
    item_id: str = ""
    variant: str = ""
    key: str = field(init=False)
    """Equal for lines of the same item."""

    def __post_init__(self) -> None:
        self.key = item_key(f"{self.name} {self.variant}".strip())

    @property
    def content(self) -> tuple[object, ...]:
        """What is equal in a repeated line."""
        return self.key, self.item_id, self.quantity, self.price, self.saving

    @property
    def group(self) -> tuple[object, ...]:
        """The receipt; without receipts, the household's day."""
        return self.household, self.receipt or self.day


def without_charges(lines: Iterable[RawLine], notes: Notes) -> list[RawLine]:
    """The lines of goods and discounts."""
    kept = []
    for one in lines:
        if (one.price is None or one.price >= 0) and is_charge(one.name, one.category):
            notes.add(NoteKind.LEFT_OUT, "charge", f"{one.name!r} is a charge, not an item", one.line)
        else:
            kept.append(one)
    return kept


def without_duplicates(lines: Sequence[RawLine], mode: str, notes: Notes) -> list[RawLine]:
    """The lines without those that an overlapping export repeats.

    A receipt whose lines begin again later in the file is repeated. If all lines of all receipts occur twice, the
    export was joined with itself. Other equal lines of one receipt are units that were scanned one by one.
    """
    if mode == "keep":
        return list(lines)
    repeated = _equal_lines(lines) if mode == "drop" else _later_blocks(lines) or _doubled_receipts(lines)
    kept = [one for one in lines if one.line not in repeated]
    if repeated:
        text = (
            "equal to earlier lines of the same receipt or day, as in overlapping exports; pass duplicates=keep if not"
        )
        notes.add(NoteKind.LEFT_OUT, "duplicate", text, *repeated)
    return kept


def _equal_lines(lines: Sequence[RawLine]) -> set[int]:
    seen: set[object] = set()
    repeated = set()
    for one in lines:
        key = (one.group, one.content)
        if key in seen:
            repeated.add(one.line)
        seen.add(key)
    return repeated


def _later_blocks(lines: Sequence[RawLine]) -> set[int]:
    """Lines of receipts that occur in several places of a file with the same content."""
    blocks: dict[tuple[object, ...], list[list[RawLine]]] = defaultdict(list)
    previous: tuple[object, ...] | None = None
    for one in lines:
        if one.group != previous:
            blocks[one.group].append([])
        blocks[one.group][-1].append(one)
        previous = one.group
    repeated: set[int] = set()
    for places in blocks.values():
        first = Counter(one.content for one in places[0])
        has_receipt = bool(places[0][0].receipt)
        for place in places[1:]:
            # Without a number, two visits on a day may look alike if they are short.
            if Counter(one.content for one in place) <= first and (has_receipt or len(places[0]) > 1):
                repeated.update(one.line for one in place)
    if not repeated and len(blocks) >= _MIN_REPEATED_RECEIPTS:
        # A file of short receipts that was appended to itself: the same lines in the same order again.
        half, odd = divmod(len(lines), 2)
        contents = [(one.group, one.content) for one in lines]
        if not odd and contents[:half] == contents[half:]:
            repeated.update(one.line for one in lines[half:])
    return repeated


def _doubled_receipts(lines: Sequence[RawLine]) -> set[int]:
    """The second ones of all lines, if every line of every receipt occurs an even number of times."""
    by_group: dict[object, dict[object, list[RawLine]]] = defaultdict(lambda: defaultdict(list))
    for one in lines:
        by_group[one.group][one.content].append(one)
    equal = [same for contents in by_group.values() for same in contents.values()]
    if len(by_group) < _MIN_REPEATED_RECEIPTS or any(len(same) % 2 for same in equal):
        return set()
    return {one.line for same in equal for one in same[len(same) // 2 :]}


def net_refunds(lines: Sequence[RawLine], notes: Notes) -> list[RawLine]:
    """The lines without what was given back: refunds are taken off the latest purchases of their item."""
    purchases: dict[tuple[str, str], list[RawLine]] = defaultdict(list)
    for one in lines:
        if one.quantity > 0 and (one.price is None or one.price >= 0):
            purchases[one.household, one.key].append(one)
    for same in purchases.values():
        same.sort(key=lambda one: one.day)
    kept = []
    for one in lines:
        bought = purchases.get((one.household, one.key), [])
        if one.quantity > 0 and not _refunds_by_price(one, bought):
            kept.append(one)
            continue
        left = abs(one.quantity)
        netted: list[int] = []
        earlier = [other for other in bought if other.day <= one.day and other.quantity > 0]
        # First the purchases at the refunded price, each time the latest.
        price = None if one.price is None else abs(one.price)
        for other in sorted(earlier, key=lambda other: (other.price == price, other.day), reverse=True):
            taken = min(left, other.quantity)
            other.saving = other.saving * (other.quantity - taken) / other.quantity
            other.quantity -= taken
            left -= taken
            netted.append(other.line)
            if not left:
                break
        if netted:
            text = f"a refund of {one.name!r}, taken off its purchase"
            notes.add(NoteKind.CHANGED, "refund", text, one.line, *netted)
        else:
            text = f"a refund of {one.name!r}, whose purchase is not in the file"
            notes.add(NoteKind.LEFT_OUT, "refund_without_purchase", text, one.line)
    return [one for one in kept if one.quantity > 0]


def _refunds_by_price(one: RawLine, bought: Sequence[RawLine]) -> bool:
    """Whether a line with a negative price gives an item back, and is no discount on it."""
    if one.price is None or one.price >= 0:
        return False
    return any(other.price == -one.price and other.day <= one.day for other in bought)


def attach_discounts(lines: Sequence[RawLine], notes: Notes) -> list[RawLine]:
    """The lines of goods, with the discounts that are lines of their own as savings."""
    goods: dict[tuple[object, ...], list[RawLine]] = defaultdict(list)
    for one in lines:
        if one.price is None or one.price >= 0:
            goods[one.group].append(one)
    kept = []
    for one in lines:
        if one.price is None or one.price >= 0:
            kept.append(one)
            continue
        amount = -one.price * one.quantity
        target = _discounted(one, amount, goods[one.group])
        if target:
            _spread(amount, target)
            where = "the item of the same receipt" if len(target) == 1 else f"{len(target)} items of the same receipt"
            notes.add(NoteKind.CHANGED, "discount_line", f"{one.name!r} is a discount, taken off {where}", one.line)
        else:
            text = f"{one.name!r} is a discount without an item on the same receipt that costs as much"
            notes.add(NoteKind.LEFT_OUT, "discount_without_item", text, one.line)
    return kept


def _discounted(discount: RawLine, amount: Decimal, goods: Sequence[RawLine]) -> list[RawLine]:
    """The lines that a discount is for."""
    able = [one for one in goods if _left_to_pay(one) >= amount]
    wanted = re.sub(r"[\W_]+", " ", discount.key).strip()
    for matches in (
        [one for one in able if one.item_id and one.item_id in discount.name],
        [one for one in able if one.key == discount.key],
        [one for one in able if re.sub(r"[\W_]+", " ", one.key).strip() in wanted],
        able if len(goods) == 1 else [],
        # Registers print a discount below its item.
        [one for one in able if one.line == max((o.line for o in goods if o.line < discount.line), default=0)]
        if discount.receipt or not names_discount(discount.name) else [],
    ):  # fmt: skip
        if matches:
            return [max(matches, key=lambda one: (one.line < discount.line, one.line))]
    return list(goods) if sum(map(_left_to_pay, goods), Decimal(0)) >= amount else []


def _left_to_pay(one: RawLine) -> Decimal:
    return (one.price or Decimal(0)) * one.quantity - one.saving


def _spread(amount: Decimal, lines: Sequence[RawLine]) -> None:
    total = sum(map(_left_to_pay, lines), Decimal(0))
    shares = [amount * _left_to_pay(one) / total for one in lines]
    for one, share in zip(lines, shares, strict=True):
        one.saving += share


def weights_as_units(lines: Sequence[RawLine], notes: Notes) -> list[RawLine]:
    """The lines with whole units. Goods that are bought by weight count as one unit at the price of the whole line."""
    by_weight = {one.key for one in lines if one.quantity != one.quantity.to_integral_value()}
    changed = []
    for one in lines:
        if one.key in by_weight:
            notes.add(NoteKind.CHANGED, "weight", f"{one.name!r} is sold by weight and counts as one unit", one.line)
            price = None if one.price is None else one.price * one.quantity
            one = replace(one, quantity=Decimal(1), price=price)
        changed.append(one)
    return changed


def receipt_lines(lines: Sequence[RawLine], notes: Notes) -> list[ReceiptLine]:
    """The lines in the form of the contract, ordered by day: names, categories and amounts."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    categories: dict[str, str] = {}
    for one in lines:
        name = _valid_name(one, notes)
        number = 2
        while taken.setdefault(item_key(name), one.key) != one.key and item_key(name) != one.key:
            suffix = f"… ({number})"
            name, number = name[: MAX_NAME_CHARACTERS - len(suffix)].rstrip() + suffix, number + 1
        names[f"{one.key}\0{one.name}"] = name
        if one.category and one.key not in categories:
            categories[one.key] = one.category
    return [
        ReceiptLine(
            line=one.line,
            name=names[f"{one.key}\0{one.name}"],
            day=one.day,
            quantity=int(one.quantity),
            price=None if one.price is None else float(one.price.quantize(_PRICE_STEP, ROUND_HALF_UP)),
            saving=_saving_of(one),
            category=_text(one.category or categories.get(one.key, "")),
            item_id=_text(one.item_id),
            variant=_text(one.variant),
        )
        for one in sorted(lines, key=lambda one: (one.day, one.line))
    ]


def _saving_of(one: RawLine) -> float:
    if one.price is None:
        return 0.0
    # Rounding the price must not leave a saving above the amount of the line.
    full = one.price.quantize(_PRICE_STEP, ROUND_HALF_UP) * one.quantity
    return float(min(one.saving, full).quantize(_PRICE_STEP, ROUND_HALF_UP))


def _valid_name(one: RawLine, notes: Notes) -> str:
    name = _text(one.name)
    if name != one.name.strip():
        notes.add(
            NoteKind.CHANGED, "control_characters", "line ends and control characters in names are spaces", one.line
        )
    if len(name) > MAX_NAME_CHARACTERS:
        text = f"names are cut to {MAX_NAME_CHARACTERS} characters"
        notes.add(NoteKind.CHANGED, "long_name", text, one.line)
        name = name[: MAX_NAME_CHARACTERS - 1].rstrip() + "…"
    return name


def _text(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()
