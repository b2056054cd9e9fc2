"""When the next purchase would change a cadence: the analysis is repeated with purchases that have not happened."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pantree_domain.cadence import LADDER
from pantree_domain.item_key import item_key
from pantree_domain.purchases import PurchaseHistory
from pantree_frequency.core import cadence
from pantree_frequency.core.analysis import (
    AnalysisRequest,
    Models,
    Options,
    purchases_of,
    tolerances_of,
    usual_quantity,
)
from pantree_frequency.core.features import feature_table
from pantree_frequency.core.statistics import pair_statistics
from pantree_frequency.core.supply import options_of
from pantree_runtime.errors import FieldViolation, InvalidInput

# An item that is not bought within the longest step of the ladder has no cadence to change.
MAX_WAIT_DAYS = LADDER[-1].interval_days


@dataclass(frozen=True)
class CadenceChange:
    """How a later next purchase would change an item's cadence."""

    name: str
    recommended_interval_days: int
    """Today's cadence."""
    after_day: int
    """Days since 1970-01-01: a next purchase on the day after it, and nothing else before, makes the cadence longer."""
    interval_days: int
    """The cadence after that purchase."""


def cadence_changes(
    request: AnalysisRequest, item_names: Sequence[str], models: Models, options: Options
) -> list[CadenceChange]:
    """The day after which a next purchase would make the cadence longer, for each item that has one, in order.

    The analysis is repeated as if the household bought the item once more on a later day, in the same way as last time,
    and nothing else before. The days are bisected: about ten analyses in all, each of all items together.

    Args:
        request: the history; the items must have been bought.
        item_names: which items.
        models: to choose from.
        options: of the analysis.

    Raises:
        InvalidInput: if an item was never bought, or there is no such model.
    """
    positions = {item_key(name): position for position, name in enumerate(request.history.item_names)}
    bought = set(request.history.item_indices.tolist())
    unknown = [number for number, name in enumerate(item_names) if positions.get(item_key(name), -1) not in bought]
    if unknown:
        remedy = "is not in purchases; name an item that was bought"
        raise InvalidInput([FieldViolation(f"item_names[{number}]", remedy) for number in unknown])
    items = {name: positions[item_key(name)] for name in item_names}

    def cadences_after(waits: Mapping[str, int]) -> dict[str, int]:
        later = {name: with_next_purchase(request, items[name], days) for name, days in waits.items()}
        return _cadences(later, items, models, options)

    today = _cadences(dict.fromkeys(items, request), items, models, options)
    latest = cadences_after(dict.fromkeys(items, MAX_WAIT_DAYS))
    # Invariant: at `low` the cadence is no longer than today's, at `high` it is.
    high = {name: MAX_WAIT_DAYS for name in items if latest[name] > today[name]}
    low = dict.fromkeys(high, 0)
    changed = {name: latest[name] for name in high}
    while middle := {name: (low[name] + high[name]) // 2 for name in high if high[name] - low[name] > 1}:
        found = cadences_after(middle)
        for name, days in middle.items():
            if found[name] > today[name]:
                high[name], changed[name] = days, found[name]
            else:
                low[name] = days
    return [CadenceChange(name, today[name], request.as_of_day + low[name], changed[name]) for name in high]


def with_next_purchase(request: AnalysisRequest, item: int, days: int) -> AnalysisRequest:
    """The request on the day of a next purchase, `days` from now.

    Args:
        request: the history as it is.
        item: position of an item that was bought.
        days: at least 1.
    """
    history = request.history
    lines = np.flatnonzero(history.item_indices == item)
    last = lines[history.days[lines] == history.days[lines].max()]
    day = request.as_of_day + days
    extended = PurchaseHistory(
        item_names=history.item_names,
        item_categories=history.item_categories,
        item_indices=np.append(history.item_indices, history.item_indices[last]),
        days=np.append(history.days, np.full(len(last), day, np.int32)),
        quantities=np.append(history.quantities, history.quantities[last]),
        prices=np.append(history.prices, history.prices[last]),
        savings=np.append(history.savings, history.savings[last]),
    )
    return dataclasses.replace(request, history=extended, as_of_day=day)


def _cadences(
    requests: Mapping[str, AnalysisRequest], items: Mapping[str, int], models: Models, options: Options
) -> dict[str, int]:
    """The cadence of one item in each request, equal to that of the full analysis.

    Args:
        requests: by item name; all have the same dictionary.
        items: position of each item in the dictionary.
        models: to choose from.
        options: of the analysis.
    """
    if not requests:
        return {}
    bought = purchases_of(list(requests.values()))
    wanted = [request.history.item_names[items[name]] for name, request in requests.items()]
    pairs = zip(bought.pairs["household"].tolist(), bought.pairs["item"].tolist(), strict=True)
    chosen = np.flatnonzero([bought.histories.item_names[item] == wanted[number] for number, item in pairs])
    statistics = pair_statistics(bought)
    judged, quantity = feature_table(bought, models.priors, chosen), usual_quantity(statistics[chosen])
    tolerances = tolerances_of(bought, statistics, models.costs, options.stockout_tolerance)[chosen]
    intervals = models.named(options.model_name).interval_within(judged, cadence.DAYS).round(12)
    supply = options_of(intervals, judged.rhythms, quantity, tolerances)
    return dict(zip(requests, cadence.STEPS[supply.best].tolist(), strict=True))
