"""Regular records, generated and sent through the REST API: is each one recommended, in the right amount, in time?

Unlike `regularity`, which looks at the analysis alone, each record is a request to the gateway: names, categories and
the plan take part. A household makes weekly trips with other purchases, and buys one item in a rhythm of its own, whose
intervals follow a log-normal distribution. One purchase may be missed, one may be of twice the usual quantity and last
twice as long (the latest one, or an earlier one), or the household may have changed to another brand. An item is

- *recommended* if it is among the recommendations; after a change of brand, the new one alone;
- *supplied* if the units delivered a day are .8 to 1.25 of those used a day;
- *on time* if the first delivery is within a quarter of the interval (at least 4 days) of the day the next purchase is
  due.

The last two columns say what the rule "mean interval" would reach with any number of days between deliveries: the mean
of a few irregular intervals may itself be off by more than a quarter.

    python -m pantree_research.regular_records [--url http://127.0.0.1:8000] [--seed 1] [--sample 1]
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import httpx
import numpy as np

from pantree_cli.mesh import port_settings, start_processes

AS_OF = date(2026, 6, 20)
CVS = (0.0, 0.08, 0.15, 0.2, 0.25, 0.4, 0.6, 1.0)
MAX_REGULAR_CV = 0.25
PHASES = (0.1, 0.35, 0.6, 0.85)
KINDS = ("plain", "missed purchase", "doubled quantity", "doubled last", "change of brand")

# What keeps for a week or more, with the intervals at which it might be bought.
_ITEMS: tuple[tuple[str, str, float, tuple[int, ...]], ...] = (
    ("Oat Drink", "Dairy Alternatives", 2.79, (4, 6)),
    ("Sparkling Water", "", 3.49, (4, 9)),
    ("Corn Flakes", "Breakfast", 2.99, (9, 11)),
    ("Granola", "Breakfast", 4.29, (11, 16)),
    ("Cat Food Pouches", "Pet", 11.99, (9, 13)),
    ("Diapers Size 4", "Baby", 24.99, (13, 16)),
    ("Cat Litter", "Pet", 9.49, (16, 19, 26)),
    ("Olive Oil", "", 8.99, (45, 52)),
    ("Green Tea Bags", "Beverages", 4.49, (23, 38)),
    ("Basmati Rice", "Pantry", 5.99, (33, 60)),
    ("Paper Towels", "Household", 12.49, (19, 30)),
    ("Dish Soap", "Household", 3.29, (38, 45)),
    ("Laundry Detergent", "Household", 13.99, (30, 52)),
    ("Toothpaste", "Personal Care", 3.79, (33, 60, 75)),
    ("Shower Gel", "Personal Care", 4.99, (26, 38)),
    ("Razor Blades", "Personal Care", 17.99, (75, 105)),
    ("Vitamin D Tablets", "", 9.99, (60, 90, 120)),
    ("Trash Bags", "Household", 10.49, (52, 75)),
    ("Vacuum Cleaner Bags", "Household", 14.99, (105, 150)),
    ("Refrigerator Water Filter", "Household", 39.99, (120, 150)),
)
_BRANDS = ("Acme", "Bravo", "Northfield", "Sunny Hill", "Riverside")
_OTHERS = ("Bananas", "Ciabatta", "Avocados", "Ground Beef", "Cherry Tomatoes", "Mozzarella", "Ginger", "Crackers")
_TRIP_DAYS = 7
_DAYS_OF_OTHERS = 300
_CONCURRENCY = 4
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Purchase:
    """A receipt line of the item."""

    name: str
    age: int
    """Days before the as-of date."""
    quantity: int


@dataclass(frozen=True)
class Record:
    """One household with one regular need."""

    interval_days: int
    cv: float
    phase: float
    """Time since the last purchase over the interval."""
    kind: str
    units: int
    category: str
    price: float
    purchases: tuple[Purchase, ...]
    """The latest first."""
    seed: int

    @property
    def name(self) -> str:
        """Of the item that is bought now."""
        return self.purchases[0].name

    @property
    def due(self) -> float:
        """Days from the as-of date to the next purchase."""
        latest = self.purchases[0]
        return max(self.interval_days * latest.quantity / self.units - latest.age, 1.0)

    @property
    def tolerance_days(self) -> float:
        """Largest deviation of a first delivery that is on time."""
        return max(self.interval_days / 4, 4.0)

    def request(self) -> dict[str, Any]:
        """The body of a request to the gateway."""
        generator = np.random.default_rng(self.seed)
        lines = [(one.name, one.age, one.quantity, self.price, self.category) for one in self.purchases]
        for age in range(int(generator.integers(0, _TRIP_DAYS)), _DAYS_OF_OTHERS, _TRIP_DAYS):
            lines += [(name, age, 1, 2.49, "") for name in _OTHERS if generator.random() < 0.35]
        rows = [
            {
                "name": name, "date": (AS_OF - timedelta(days=age)).isoformat(), "quantity": quantity, "price": price,
                "category": category,
            }
            for name, age, quantity, price, category in lines
        ]  # fmt: skip
        return {
            "customer_id": "record", "history": rows, "as_of": AS_OF.isoformat(), "include_omitted": True,
            "max_recommendations": 100,
        }  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """How a record was answered."""

    recommended: bool
    supplied: bool
    on_time: bool
    text: str

    @property
    def right(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.recommended and self.supplied and self.on_time


def records(seed: int) -> list[Record]:
    """Records of every item at each of its intervals, CVs and phases; of all kinds where the CV is at most .25.

    Args:
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    return [
        _record(generator, item, interval, cv, phase, kind)
        for item in _ITEMS
        for interval in item[3]
        for cv in CVS
        for phase in PHASES
        for kind in (KINDS if cv <= MAX_REGULAR_CV else KINDS[:1])
    ]


def _record(
    generator: np.random.Generator,
    item: tuple[str, str, float, tuple[int, ...]],
    interval: int,
    cv: float,
    phase: float,
    kind: str,
) -> Record:
    name, category, price, _ = item
    count = int(generator.integers(5 if kind == "plain" else 7, 15))
    units = int(generator.choice([1, 1, 1, 2, 3, 4]))
    deviation = np.sqrt(np.log1p(cv**2))
    gaps = interval * np.exp(generator.normal(-(deviation**2) / 2, deviation, count - 1))
    quantities = np.full(count, units)
    names = [name] * count
    if kind == "missed purchase":
        gaps[generator.integers(0, count - 1)] *= 2
    elif kind == "doubled quantity":
        place = int(generator.integers(1, count))
        quantities[place] *= 2
        gaps[place - 1] *= 2
    elif kind == "doubled last":
        quantities[0] *= 2
    elif kind == "change of brand":
        old, new = generator.choice(_BRANDS, 2, replace=False).tolist()
        changed = int(generator.integers(2, 5))
        names = [f"{new} {name}"] * changed + [f"{old} {name}"] * (count - changed)
    ages = round(phase * interval) + np.cumsum([0, *np.maximum(np.rint(gaps), 1).astype(int)])
    purchases = tuple(map(Purchase, names, ages.tolist(), quantities.tolist()))
    return Record(interval, cv, phase, kind, units, category, price, purchases, int(generator.integers(2**31)))


async def answers_to(chosen: Sequence[Record], url: str) -> list[Answer]:
    """How the gateway answers each record, in order."""
    limit = asyncio.Semaphore(_CONCURRENCY)
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_SECONDS) as client:

        async def answer(record: Record) -> Answer:
            async with limit:
                response = await client.post("/api/v1/process", json=record.request())
            response.raise_for_status()
            return answer_of(record, response.json()["recommendations"])

        return await asyncio.gather(*map(answer, chosen))


def answer_of(record: Record, result: dict[str, Any]) -> Answer:
    """What is right about the `recommendations` of an answer."""
    names = {one.name for one in record.purchases}
    offers = {item["name"]: item["subscription"] for item in result["recommendations"] if item["name"] in names}
    if set(offers) != {record.name}:
        reasons = [f"{item['name']}: {item['reason']['code']}" for item in result["omitted"] if item["name"] in names]
        return Answer(False, False, False, f"offers {sorted(offers)}, omitted {reasons}")
    offer = offers[record.name]
    ratio = offer["quantity"] * record.interval_days / (offer["interval_days"] * record.units)
    off = (date.fromisoformat(offer["first_delivery_date"]) - AS_OF).days - record.due
    text = f"{offer['quantity']} every {offer['interval_days']} days, supplies {ratio:.2f}, first off by {off:.0f}"
    return Answer(True, 0.8 <= ratio <= 1.25, abs(off) <= record.tolerance_days, text)


def answer_of_mean(record: Record) -> Answer:
    """The rule "mean interval": the units of the record per day, the first delivery a mean interval after the last."""
    oldest, latest = record.purchases[-1], record.purchases[0]
    use = sum(one.quantity for one in record.purchases[1:]) / (oldest.age - latest.age)
    ratio = use / (record.units / record.interval_days)
    due = max(latest.quantity / use - latest.age, 1.0)
    return Answer(True, 0.8 <= ratio <= 1.25, abs(due - record.due) <= record.tolerance_days, "")


def table(chosen: Sequence[Record], answered: Sequence[Answer], label: str, key: Callable[[Record], Any]) -> str:
    """Shares of the records by an attribute, as a Markdown table."""
    lines = [
        f"| {label} | records | recommended | supplied | on time | mean rule: supplied | on time |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for value in dict.fromkeys(map(key, chosen)):
        some = [(record, one) for record, one in zip(chosen, answered, strict=True) if key(record) == value]
        rule = [answer_of_mean(record) for record, _ in some]
        shares = (
            np.mean([one.recommended for _, one in some]), np.mean([one.supplied for _, one in some]),
            np.mean([one.on_time for _, one in some]), np.mean([one.supplied for one in rule]),
            np.mean([one.on_time for one in rule]),
        )  # fmt: skip
        cells = " | ".join(f"{share:.3f}".removeprefix("0") for share in shares)
        lines.append(f"| {value} | {len(some)} | {cells} |")
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def _gateway(url: str) -> AsyncIterator[str]:
    if url:
        yield url
        return
    settings = port_settings(own_ports=True)
    mesh = await start_processes(settings, on_state_change=lambda part, state: None)
    try:
        yield f"http://{settings['PANTREE_GATEWAY_ADDRESS']}"
    finally:
        await mesh.stop()


def _tables(chosen: Sequence[Record], answered: Sequence[Answer]) -> Iterator[str]:
    def only(condition: Callable[[Record], bool], label: str, key: Callable[[Record], Any]) -> str:
        some = [(record, one) for record, one in zip(chosen, answered, strict=True) if condition(record)]
        some.sort(key=lambda pair: str(key(pair[0])) if isinstance(key(pair[0]), str) else f"{key(pair[0]):08.2f}")
        return table([record for record, _ in some], [one for _, one in some], label, key)

    yield only(lambda record: record.kind == "plain", "CV, plain records", lambda record: record.cv)

    def regular(record: Record) -> bool:
        return record.cv <= MAX_REGULAR_CV and record.kind != "doubled last"

    yield only(lambda record: record.cv <= MAX_REGULAR_CV, "CV up to .25", lambda record: record.kind)
    yield only(regular, "all kinds but doubled last, CV", lambda record: record.cv)
    yield only(regular, "the same, interval in days", lambda record: record.interval_days)
    yield only(regular, "the same, purchases", lambda record: len(record.purchases))


async def _run(url: str, chosen: Sequence[Record]) -> list[Answer]:
    async with _gateway(url) as address:
        return await answers_to(chosen, address)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="", help="gateway of a running mesh; without it, one is started")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sample", type=float, default=1.0, help="share of the records")
    parser.add_argument("--failures", type=int, default=0, help="print this many records with a wrong answer")
    arguments = parser.parse_args()
    chosen = records(arguments.seed)
    size = max(round(arguments.sample * len(chosen)), 1)
    places = np.sort(np.random.default_rng(arguments.seed).permutation(len(chosen))[:size])
    chosen = [chosen[place] for place in places]
    answered = asyncio.run(_run(arguments.url, chosen))
    print("\n\n".join(_tables(chosen, answered)))
    wrong = [pair for pair in zip(chosen, answered, strict=True) if pair[0].cv <= MAX_REGULAR_CV and not pair[1].right]
    for record, one in wrong[: arguments.failures]:
        ages = [purchase.age for purchase in record.purchases]
        print(
            f"{record.name} every {record.interval_days} days, CV {record.cv}, {record.kind}, {record.units} units, "
            f"gaps {np.diff(ages).tolist()}, quantities {[one.quantity for one in record.purchases]}, last {ages[0]}: "
            f"{one.text}"
        )


if __name__ == "__main__":
    main()
