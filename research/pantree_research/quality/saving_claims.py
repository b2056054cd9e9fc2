"""Saving claims against the prices that validation households then paid.

    python -m pantree_research.quality.saving_claims

For each product that a household bought on three days or more up to a cut-off, and again within 84 days: what a
subscription is said to save per unit (reference price less subscription price), and what it would have saved (price
then paid less the subscription price on that day), times the units then bought.
"""

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import pandas as pd

from pantree_domain.days import day_number
from pantree_domain.household.prices import PaidLine, ReferencePrice, reference_price
from pantree_recommendation.core.discount import DEFAULT_TIERS
from pantree_research.quality.households import Split, load_receipt_lines

CUTOFFS = (date(2017, 8, 31), date(2017, 9, 30))
FOLLOW_UP_DAYS = 84
MIN_PURCHASE_DAYS = 3


@dataclass(frozen=True)
class Claim:
    """A household's product, over the follow-up."""

    promised: float
    real: float
    supported: bool
    """Whether the payments support a claim; see `SavingsVsPaid`."""
    promised_by_mean: float
    """By the mean of all payments, as a baseline."""

    @property
    def claims(self) -> bool:
        """Whether a saving is claimed."""
        return self.promised > 0 and self.supported


class _Pair(NamedTuple):
    """A household's product: the reference price at the cut-off, and what was bought after it."""

    reference: ReferencePrice
    mean_paid: float
    latest_shelf: float
    units: int
    paid: float
    """For all units."""
    shelf: float
    """For all units, at the shelf prices of the days."""


def pairs_of(frame: pd.DataFrame, cutoff: date) -> list[_Pair]:
    """Pairs of a household and a product that was bought on three days or more up to the cut-off, and after it.

    Args:
        frame: receipt lines, ordered by household, product and day.
        cutoff: last day before the follow-up.
    """
    last = day_number(cutoff)
    frame = frame[frame.day <= last + FOLLOW_UP_DAYS]
    keys = ["household_id", "product_id"]
    days = frame[frame.day <= last].drop_duplicates([*keys, "day"]).groupby(keys).size()
    later = frame[frame.day > last].groupby(keys).size()
    wanted = days[days >= MIN_PURCHASE_DAYS].index.intersection(later.index)
    everything = frame
    frame = frame[pd.MultiIndex.from_frame(frame[keys]).isin(wanted)]
    columns = zip(*(frame[name].tolist() for name in (*keys, "day", "quantity", "price", "saving")), strict=True)
    visible = everything[everything.day <= last]
    full, saved = visible.price * visible.quantity, visible.saving
    usual = (saved.groupby(visible.household_id).sum() / full.groupby(visible.household_id).sum()).clip(0, 1).to_dict()
    pairs = []
    for (household, _), group in itertools.groupby(columns, key=operator.itemgetter(0, 1)):
        lines = [PaidLine(*line[2:]) for line in group]
        before, after = [line for line in lines if line.day <= last], [line for line in lines if line.day > last]
        reference = reference_price(before, usual[household])
        if reference is not None:
            pairs.append(
                _Pair(
                    reference=reference,
                    mean_paid=_paid(before) / sum(line.quantity for line in before),
                    latest_shelf=before[-1].price,
                    units=sum(line.quantity for line in after),
                    paid=_paid(after),
                    shelf=sum(line.price * line.quantity for line in after),
                )
            )
    return pairs


def _paid(lines: Sequence[PaidLine]) -> float:
    return sum(line.price * line.quantity - line.saving for line in lines)


def claim_of(pair: _Pair, discount_ratio: float) -> Claim:
    """What is said to be saved over the follow-up, and what would have been."""
    reference = pair.reference
    price = reference.shelf * (1 - discount_ratio)
    return Claim(
        promised=(reference.paid - price) * pair.units,
        real=pair.paid - pair.shelf * (1 - discount_ratio),
        supported=not reference.promoted
        and discount_ratio >= reference.usual_discount_ratio
        and reference.latest_paid >= price,
        promised_by_mean=(pair.mean_paid - pair.latest_shelf * (1 - discount_ratio)) * pair.units,
    )


def main() -> None:
    """Prints one line per cut-off and discount."""
    frame = load_receipt_lines().of(Split.VALIDATION).frame.sort_values(["household_id", "product_id", "day"])
    print("cut-off     discount  products  claims  promised     real  ratio  false  | by the mean: promised  false")
    for cutoff in CUTOFFS:
        pairs = pairs_of(frame, cutoff)
        for tier in DEFAULT_TIERS.tiers:
            found = [claim_of(pair, tier.discount_ratio) for pair in pairs]
            claimed = [claim for claim in found if claim.claims]
            by_mean = [claim for claim in found if claim.promised_by_mean > 0]
            promised, real = sum(claim.promised for claim in claimed), sum(claim.real for claim in claimed)
            false = sum(claim.real < 0 for claim in claimed) / max(len(claimed), 1)
            false_by_mean = sum(claim.real < 0 for claim in by_mean) / len(by_mean)
            print(
                f"{cutoff}  {tier.discount_ratio:8.0%}  {len(found):8,}  {len(claimed):6,}  "
                f"{promised:8,.0f} {real:8,.0f}  {promised / real:5.2f}  {false:5.1%}  "
                f"| {sum(claim.promised_by_mean for claim in by_mean):21,.0f}  "
                f"{false_by_mean:5.1%}"
            )


if __name__ == "__main__":
    main()
