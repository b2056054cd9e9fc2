"""What a story consists of: purchases, and what the answer must and must not say.

Ages are days before the as-of date, which is a Saturday: a household that shops on Saturdays and is asked about four
days later bought at ages 4, 11, 18, …
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

AS_OF = date(2026, 6, 20)

FIRST_DAYS_TOLERANCE = 3
SUPPLY_TOLERANCE = 0.25
# Beyond these an answer is absurd rather than wrong.
_ABSURD_SUPPLY = 2.5
_MIN_ABSURD_DAYS = 14


@dataclass(frozen=True)
class Line:
    """A receipt line."""

    name: str
    age: int
    price: float
    quantity: int = 1
    category: str = ""
    saving: float = 0.0


@dataclass(frozen=True)
class Problem:
    """What is wrong with an answer."""

    text: str
    absurd: bool = False


Result = Mapping[str, Any]
"""The `recommendations` of a `ProcessResult` as JSON, plus its `warnings`."""

Expectation = Callable[[Result], Iterable[Problem]]


@dataclass(frozen=True)
class Story:
    """A household with the expected answer."""

    name: str
    kind: int
    """The row of the table of kinds of mistakes that it stands for; 0 for ordinary households."""
    lines: tuple[Line, ...]
    expectations: tuple[Expectation, ...]
    as_of: date = AS_OF
    filler_days: tuple[int, ...] = field(default=())
    """Ages of the trips on which fillers may be bought; all ages of the story when empty."""

    def request(self, filler: int | None = None) -> dict[str, Any]:
        """The body of a request to the gateway.

        Args:
            filler: number of the household's other purchases; None for none.
        """
        lines = [*self.lines, *(() if filler is None else _filler(self, filler))]
        rows = [
            {
                "name": line.name,
                "date": (self.as_of - timedelta(days=line.age)).isoformat(),
                "price": round(line.price, 2),
                "quantity": line.quantity,
                "category": line.category,
                "saving": round(line.saving, 2),
            }
            for line in sorted(lines, key=lambda line: (-line.age, line.name))
        ]
        return {
            "customer_id": "story",
            "history": rows,
            "as_of": self.as_of.isoformat(),
            "include_omitted": True,
            "max_recommendations": 100,
        }

    def problems(self, result: Result) -> list[Problem]:
        """What is wrong with an answer; empty when it is right."""
        return [problem for expectation in self.expectations for problem in expectation(result)]


_FILLERS = (
    "Paprika Powder", "Capers", "Coconut Milk", "Rice Noodles", "Dried Apricots", "Polenta", "Anchovies", "Sesame Oil",
    "Curry Paste", "Lentils", "Pesto", "Mint Tea", "Marmalade", "Rye Crackers", "Walnuts", "Artichoke Hearts",
    "Couscous", "Horseradish", "Tahini", "Cranberries", "Nori", "Bay Leaves", "Fig Spread", "Pickled Beets",
)  # fmt: skip


def _filler(story: Story, number: int) -> list[Line]:
    """Two to five other items of each trip, none of them regular."""
    generator = random.Random(f"{story.name}-{number}")
    ages = story.filler_days or tuple(sorted({line.age for line in story.lines}))
    lines = []
    for age in ages:
        for name in generator.sample(_FILLERS, generator.randint(2, 5)):
            lines.append(Line(name, age, generator.choice([1.99, 2.49, 3.79, 4.29])))
    return lines


def ages(interval: float, count: int, last: int) -> list[int]:
    """Ages of purchases at a steady interval, latest first."""
    return [last + round(interval * number) for number in range(count)]


def bought(name: str, at: Iterable[int], price: float = 2.99, quantity: int = 1, category: str = "") -> list[Line]:
    """One line of an item at each age."""
    return [Line(name, age, price, quantity, category) for age in at]


def offered(
    *names: str, every: float, units: float = 1, due: int | None = None, content: float = 1, what: str = ""
) -> Expectation:
    """Exactly one of the names is offered and supplies what the household uses, from the day it is due.

    Args:
        names: names that the offer may have.
        every: days in which the household uses `units`.
        units: in terms of `content`.
        due: days from the as-of date to the first delivery; None if any day is right.
        content: units in one pack of the item offered.
        what: a note for the table.
    """

    def check(result: Result) -> Iterable[Problem]:
        found = [item for item in result["recommendations"] if item["name"] in names]
        if not found:
            yield Problem(f"{names[0]} is not offered: {reason_of(result, *names)}")
            return
        if len(found) > 1:
            yield Problem(f"{' and '.join(item['name'] for item in found)} are offered twice", absurd=len(found) > 2)
            return
        subscription = found[0]["subscription"]
        supplied = subscription["quantity"] * content / subscription["interval_days"]
        ratio = supplied / (units / every)
        label = f"{found[0]['name']}: {subscription['quantity']} every {subscription['interval_days']} days"
        if not 1 - SUPPLY_TOLERANCE <= ratio <= 1 + SUPPLY_TOLERANCE + 1e-9:
            absurd = not 1 / _ABSURD_SUPPLY < ratio < _ABSURD_SUPPLY
            yield Problem(f"{label} supplies {ratio:.2f} of the use{what and f' ({what})'}", absurd)
        if due is not None:
            as_of = date.fromisoformat(result["as_of"])
            first = (date.fromisoformat(subscription["first_delivery_date"]) - as_of).days
            off = first - max(due, 0)
            if abs(off) > FIRST_DAYS_TOLERANCE:
                yield Problem(
                    f"{found[0]['name']} is first delivered on day {first}, due on day {due}",
                    absurd=abs(off) > max(_MIN_ABSURD_DAYS, every),
                )

    return check


def not_offered(*names: str, codes: Iterable[str] = (), absurd: bool = False, near_miss: bool = True) -> Expectation:
    """None of the names is offered; the reason has one of the codes, if any are given.

    Args:
        names: names of items.
        codes: allowed reasons.
        absurd: whether an offer would be absurd.
        near_miss: whether it may be among the near misses.
    """
    allowed = frozenset(codes)

    def check(result: Result) -> Iterable[Problem]:
        for item in result["recommendations"]:
            if item["name"] in names:
                yield Problem(f"{item['name']} is offered", absurd)
        for item in result["omitted"]:
            if item["name"] in names and allowed and item["reason"]["code"] not in allowed:
                yield Problem(f"{item['name']} is omitted by {item['reason']['code']}")
        if not near_miss and any(item["name"] in names for item in result["near_misses"]):
            yield Problem(f"{names[0]} is a near miss", absurd)

    return check


def barred(*names: str) -> Expectation:
    """Goods that are never offered: omitted with their reason, and no near miss."""
    codes = ("GOODS_NEVER_OFFERED", "GOODS_OPT_IN", "GOODS_UNCERTAIN", "NO_PRICE")
    without_offer = not_offered(*names, codes=codes, absurd=True, near_miss=False)

    def check(result: Result) -> Iterable[Problem]:
        yield from without_offer(result)
        if not any(item["name"] in names for item in result["omitted"]):
            yield Problem(f"{names[0]} does not stand in omitted with its reason")

    return check


def not_said(name: str, *codes: str) -> Expectation:
    """The reason why an item is omitted, if it is, is none of these."""

    def check(result: Result) -> Iterable[Problem]:
        for item in result["omitted"]:
            if item["name"] == name and item["reason"]["code"] in codes:
                yield Problem(f"{name} is said to be {item['reason']['code']}", absurd=True)

    return check


def saving(name: str, low: float, high: float) -> Expectation:
    """The annual saving against what was paid, where it is claimed, lies in a range; a false claim is absurd."""

    def check(result: Result) -> Iterable[Problem]:
        for item in result["recommendations"]:
            if item["name"] != name:
                continue
            savings = item["subscription"].get("savings_vs_paid")
            if not savings:
                continue
            expected = savings["expected_annual_savings"]
            if not low <= expected <= high:
                yield Problem(
                    f"{name} is said to save {expected:.2f}, right is {low:.2f} to {high:.2f}", high < expected
                )
            codes = {reason["code"] for reason in item["reasons"]}
            if low > 0 and "PAYS_LESS_TODAY" in codes:
                yield Problem(f"{name} is said to cost less today", absurd=True)
            if high < 0 and codes & {"SAVES_VS_PAID", "SAVES_MONEY"}:
                yield Problem(f"{name} claims a saving", absurd=True)

    return check


def without_claims(name: str) -> Expectation:
    """An item has neither a discount nor a claim of a saving."""

    def check(result: Result) -> Iterable[Problem]:
        for item in result["recommendations"]:
            if item["name"] == name:
                subscription = item["subscription"]
                tiers = [subscription, *subscription.get("tiers", [])]
                if any(tier.get("discount_ratio") or tier.get("estimated_annual_savings") for tier in tiers):
                    yield Problem(f"{name} has a discount", absurd=True)

    return check


def together(*names: str) -> Expectation:
    """The items are first delivered on one day, if they are offered."""

    def check(result: Result) -> Iterable[Problem]:
        days = {
            item["name"]: item["subscription"]["first_delivery_date"]
            for item in result["recommendations"]
            if item["name"] in names
        }
        if len(set(days.values())) > 1:
            yield Problem(f"items of one trip are first delivered on different days: {days}")

    return check


def alike(*names: str) -> Expectation:
    """The items, which have equal records, have equal answers."""

    def check(result: Result) -> Iterable[Problem]:
        offers = {
            (s["interval_days"], s["quantity"], s["first_delivery_date"])
            for item in result["recommendations"]
            if item["name"] in names
            for s in [item["subscription"]]
        }
        reasons = {item["reason"]["code"] for item in result["omitted"] if item["name"] in names}
        if len(offers) + len(reasons) != 1:
            yield Problem(f"equal records have different answers: {sorted(offers)} {sorted(reasons)}")

    return check


def warned(code: str) -> Expectation:
    """The answer has a warning with this code."""

    def check(result: Result) -> Iterable[Problem]:
        if code not in {warning["code"] for warning in result["warnings"]}:
            yield Problem(f"there is no warning {code}")

    return check


def reason_of(result: Result, *names: str) -> str:
    """Why the items are omitted."""
    reasons = [
        f"{item['reason']['code']} {item['reason']['text']}" for item in result["omitted"] if item["name"] in names
    ]
    return "; ".join(reasons) or "not mentioned"


def sane(result: Result) -> Iterable[Problem]:
    """What holds for every answer."""
    if len(result["near_misses"]) > 3:
        yield Problem("more than three near misses")
    for item in result["recommendations"]:
        subscription = item["subscription"]
        if subscription["first_delivery_date"] < result["as_of"]:
            yield Problem(f"{item['name']} is first delivered in the past", absurd=True)
        savings = subscription.get("savings_vs_paid") or {}
        if savings and not (
            savings["low_annual_savings"] <= savings["expected_annual_savings"] <= savings["high_annual_savings"]
        ):
            yield Problem(f"{item['name']}: the range of savings does not contain the expected one")
