"""When the next purchase would change a cadence: the analysis is run again with purchases that have not happened."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import cadence
from pantree_frequency.core.analysis import Models, Options, Question, least_steps
from pantree_frequency.core.features import feature_table
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.purchases import purchases_by_pair
from pantree_runtime.errors import FieldViolation, InvalidInput

# The longest step of the ladder: who has not come back by then has no cadence to change.
LONGEST_WAIT_DAYS = 84


@dataclass(frozen=True)
class CadenceChange:
    """What a later next purchase would make of an item's cadence."""

    name: str
    recommended_interval_days: int
    """Today's cadence."""
    after_day: int
    """Days since 1970-01-01: a next purchase on the day after it, and nothing else before, makes the cadence longer."""
    interval_days: int
    """What the cadence then becomes."""


def cadence_changes(
    question: Question, item_names: Sequence[str], models: Models, options: Options
) -> list[CadenceChange]:
    """The day after which a next purchase would make the cadence longer, for each item where there is one, in order.

    The household is asked about again as if it bought the item once more, as it did last, on a later day, and nothing
    else before. Days are halved until two neighbors differ: nine analyses in all, each of all items at once.

    Args:
        question: the history; the items must have been bought.
        item_names: which items.
        models: who can answer.
        options: how to answer.

    Raises:
        InvalidInput: when an item was never bought, or there is no such model.
    """
    positions = {item_key(name): position for position, name in enumerate(question.history.item_names)}
    bought = set(question.history.item_indices.tolist())
    strange = [number for number, name in enumerate(item_names) if positions.get(item_key(name), -1) not in bought]
    if strange:
        remedy = "is not in purchases; name an item that was bought"
        raise InvalidInput([FieldViolation(f"item_names[{number}]", remedy) for number in strange])
    items = {name: positions[item_key(name)] for name in item_names}
    today = _cadences(dict.fromkeys(items, question), items, models, options)
    latest = dict.fromkeys(items, LONGEST_WAIT_DAYS)
    at_latest = _cadences(_later(question, items, latest), items, models, options)
    # Invariant: at `low` the cadence is no longer than today's, at `high` it is.
    high = {name: LONGEST_WAIT_DAYS for name in items if at_latest[name] > today[name]}
    low = dict.fromkeys(high, 0)
    becomes = {name: at_latest[name] for name in high}
    while open_ := {name: (low[name] + high[name]) // 2 for name in high if high[name] - low[name] > 1}:
        found = _cadences(_later(question, items, open_), items, models, options)
        for name, days in open_.items():
            if found[name] > today[name]:
                high[name], becomes[name] = days, found[name]
            else:
                low[name] = days
    return [CadenceChange(name, today[name], question.as_of_day + low[name], becomes[name]) for name in high]


def with_next_purchase(question: Question, item: int, days: int) -> Question:
    """The question as it would be asked on the day of a next purchase, `days` from now.

    Args:
        question: the history as it is.
        item: position of an item that was bought.
        days: at least 1.
    """
    history = question.history
    lines = np.flatnonzero(history.item_indices == item)
    last = lines[np.argmax(history.days[lines])]
    day = question.as_of_day + days

    extended = PurchaseHistory(
        item_names=history.item_names,
        item_categories=history.item_categories,
        item_indices=np.append(history.item_indices, np.int32(item)),
        days=np.append(history.days, np.int32(day)),
        quantities=np.append(history.quantities, history.quantities[last]),
        prices=np.append(history.prices, history.prices[last]),
        savings=np.append(history.savings, history.savings[last]),
    )
    return dataclasses.replace(question, history=extended, as_of_day=day)


def _later(question: Question, items: Mapping[str, int], waits: Mapping[str, int]) -> dict[str, Question]:
    return {name: with_next_purchase(question, items[name], days) for name, days in waits.items()}


def _cadences(
    questions: Mapping[str, Question], items: Mapping[str, int], models: Models, options: Options
) -> dict[str, int]:
    """The cadence of one item in each question, as the analysis gives it; the other items are not judged.

    Args:
        questions: by the item that is asked about.
        items: position of each item in the dictionary.
        models: who can answer.
        options: how to answer.
    """
    if not questions:
        return {}
    asked = list(questions.values())
    types = [question.item_types or ("",) * len(question.history.item_names) for question in asked]
    histories = Histories.of_households([question.history for question in asked], types)
    bought = purchases_by_pair(histories, np.array([question.as_of_day for question in asked], np.int32))
    table = feature_table(bought, models.priors)
    # The dictionaries of the questions are laid end to end.
    size = len(asked[0].history.item_names)
    wanted = np.array([number * size + items[name] for number, name in enumerate(questions)])
    rows = np.flatnonzero(np.isin(table.items, wanted))
    judged = table.only(rows)
    intervals = models.named(options.model_name).interval_within(judged, cadence.DAYS).round(12)
    risks = cadence.risks_of(intervals, least_steps(judged), near_only=True)
    chosen = cadence.choose_cadences(risks, options.stockout_tolerance)
    return dict(zip(questions, chosen.interval_days.tolist(), strict=True))
