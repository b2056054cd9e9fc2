"""Labels items for ranking models: what such a model sees of an item, and whether it was bought again in time."""

from collections.abc import Mapping

import numpy as np

from pantree.frequency.v1.frequency_service_pb2 import ITEM_FREQUENCY_VIEW_BASIC
from pantree.recommendation.v1 import recommendation_service_pb2 as messages
from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.days import calendar_day
from pantree_domain.purchases import PurchaseHistory
from pantree_fitting.recommendation.ranking_models import LabeledItem
from pantree_frequency import convert as frequency_convert
from pantree_frequency.core import AnalysisRequest, HistoryAnalysis, Models, Options, analyze_histories
from pantree_frequency.core.histories import Histories
from pantree_recommendation import convert as recommendation_convert
from pantree_recommendation.core.offer import offer_of
from pantree_recommendation.core.policy import Policy, rejection_reason
from pantree_recommendation.core.ranking import features_of
from pantree_recommendation.core.recommender import RecommendationRequest

_BATCH = 50


def labeled_items(histories: Histories, cutoff: int, models: Models, *, end: int, policy: Policy) -> list[LabeledItem]:
    """What the ranking model sees of each item that the policy lets pass, and whether it was bought again in time.

    Args:
        histories: of any households; the models should not have been fitted on them.
        cutoff: as-of date, days since 1970-01-01.
        models: of the frequency service.
        end: last day that is known; items whose 1.5 × cadence goes beyond it are left out.
        policy: which items a row is made of.
    """
    requests = [analysis_request(histories, household, cutoff) for household in range(histories.household_count)]
    evaluated = [(household, request) for household, request in enumerate(requests) if len(request.history)]
    rows = []
    for start in range(0, len(evaluated), _BATCH):
        batch = evaluated[start : start + _BATCH]
        analyses = analyze_histories([request for _, request in batch], models, Options())
        for (household, _), analysis in zip(batch, analyses, strict=True):
            days = days_to_next(histories, household, cutoff, end)
            request = recommendation_request(analysis, cutoff)
            for candidate in request.candidates:
                if rejection_reason(candidate, request.as_of, policy) is not None:
                    continue
                offer = offer_of(candidate, policy.tiers)
                max_days = offer.cadence.interval_days * GRACE_FACTOR
                if max_days <= end - cutoff:
                    rows.append(
                        LabeledItem(
                            features_of(candidate, offer, request.as_of),
                            days.get(candidate.name, np.inf) <= max_days,
                            str(histories.household_ids[household]),
                        )
                    )
    return rows


def analysis_request(histories: Histories, household: int, cutoff: int) -> AnalysisRequest:
    """What a household bought up to a cut-off, both included, as a request to frequency."""
    lines = histories.lines[histories.household_starts[household] : histories.household_starts[household + 1]]
    lines = lines[lines["day"] <= cutoff]
    items, indices = np.unique(lines["item"], return_inverse=True)
    history = PurchaseHistory(
        item_names=tuple(histories.item_names[item] for item in items.tolist()),
        item_categories=tuple(histories.item_categories[item] for item in items.tolist()),
        item_indices=indices.astype(np.int32),
        days=lines["day"].astype(np.int32),
        quantities=lines["quantity"].astype(np.int32),
        prices=lines["price"].astype(np.float64),
        savings=lines["saving"].astype(np.float64),
    )
    return AnalysisRequest(history, cutoff, tuple(histories.item_types[item] for item in items.tolist()))


def days_to_next(histories: Histories, household: int, cutoff: int, end: int) -> Mapping[str, float]:
    """Days from a cut-off to the next purchase of each item that is bought after it, up to and with `end`."""
    lines = histories.lines[histories.household_starts[household] : histories.household_starts[household + 1]]
    soonest: dict[str, float] = {}
    after = lines[(lines["day"] > cutoff) & (lines["day"] <= end)]
    for item, day in zip(after["item"].tolist(), after["day"].tolist(), strict=True):
        name = histories.item_names[item]
        soonest[name] = min(soonest.get(name, np.inf), day - cutoff)
    return soonest


def recommendation_request(
    analysis: HistoryAnalysis, as_of_day: int, max_recommendations: int | None = None
) -> RecommendationRequest:
    """An analysis as a request to recommendation, converted through the messages, as between the services."""
    response = frequency_convert.analysis_response(analysis, as_of_day, ITEM_FREQUENCY_VIEW_BASIC)
    request = messages.RecommendRequest(
        candidates=[messages.Candidate(frequency=item) for item in response.items],
        as_of=calendar_day(as_of_day).isoformat(),
        max_recommendations=max_recommendations,
    )
    return recommendation_convert.recommendation_request(request)
