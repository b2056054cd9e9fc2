"""The recommendation service on real households: is what it recommends bought again in time, and is it honest?

Every household's history up to a cut-off goes through the frequency analysis and the recommender as the services run
them, with the default policy. A recommendation *is bought again in time* when the household buys the item within 1.5 ×
its cadence. Two other orders of the same households' items with three purchases or more are held against it, with the
cadence nearest to the mean interval: the original heuristic, and the number of purchases. Each gets five items in every
household (as the original threshold of 50 leaves out hardly any), or only as many as were recommended there.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from pantree_domain.cadence import GRACE_FACTOR, nearest_cadence
from pantree_domain.money import exact
from pantree_domain.purchases import PurchaseHistory
from pantree_fitting.recommendation import labels
from pantree_fitting.recommendation.ranking_models import LabeledItem
from pantree_frequency.core import AnalysisRequest, HistoryAnalysis, Models, Options, analyze_histories
from pantree_frequency.core.histories import Histories
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.core.reason import ReasonCode
from pantree_recommendation.core.recommender import (
    Recommendation,
    RecommendationResult,
    filter_candidates,
    score,
    select,
)
from pantree_recommendation.core.selection import Models as RankingModels
from pantree_recommendation.core.selection import Selection, Share
from pantree_research.quality.households import FIRST_DAY, LAST_DAY, Level, ReceiptLines

MAX_RECOMMENDATIONS = 5
MIN_PURCHASES = 3
# What counts as a repeat item where prices are compared.
REPEAT_PURCHASES = 4
HEURISTIC = "heuristic"
_RANKING_MODELS = RankingModels({"embedded": EmbeddedRanker()}, Selection((Share("embedded", 1.0),), "embedded"))


@dataclass(frozen=True)
class Order:
    """How the items that one way of ordering puts first fared."""

    bought_in_time: float
    """Share that was bought within 1.5 × the cadence."""
    items: int
    households: int
    mean_cadence_days: float
    relative: float | None = None
    """How much better the recommendations are."""


@dataclass(frozen=True)
class Money:
    """Whether savings are honest."""

    pays_less_at_5: float
    """Share of items bought on four days or more whose mean shelf price less 5 % is above what was really paid."""
    pays_less_at_15: float
    repeat_items: int
    recommended_pay_less: float
    """The same at 5 %, of recommended items."""
    false_claims: int
    """Recommendations that claim a saving although the household pays less."""
    mean_savings_vs_paid: float
    """Of recommended items, a year, where the household does not pay less."""


def recommendations_table(
    lines: ReceiptLines, level: Level, cutoff: int, models: Models
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    """Compares rankings, and the money.

    Args:
        lines: of validation households.
        level: what counts as an item.
        cutoff: as-of date, days since 1970-01-01.
        models: of the frequency service.
    """
    histories = lines.histories(level)
    questions = [_question(histories, household, cutoff) for household in range(histories.household_count)]
    evaluation = [question for question in questions if len(question.history)]
    later = [
        _days_to_next(histories, household, cutoff)
        for household, question in enumerate(questions)
        if len(question.history)
    ]
    answers: list[tuple[Recommendation, ...]] = []
    chosen: dict[str, list[list[tuple[int, float]]]] = {
        name: [] for name in ("recommended", HEURISTIC, "purchase count")
    }
    repeat: list[tuple[Fraction, Fraction]] = []
    for start in range(0, len(evaluation), 50):
        batch = evaluation[start : start + 50]
        analyses = analyze_histories(batch, models, Options())
        scores = analyze_histories(batch, models, Options(model_name=HEURISTIC))
        for question, analysis, heuristic, days in zip(batch, analyses, scores, later[start : start + 50], strict=True):
            recommendations = asyncio.run(recommend(analysis, question.as_of_day)).recommendations
            answers.append(recommendations)
            chosen["recommended"].append(
                [(item.offer.cadence.interval_days, days.get(item.candidate.name, np.inf)) for item in recommendations]
            )
            for name, ranked in (
                (HEURISTIC, heuristic.items),
                ("purchase count", sorted(heuristic.items, key=lambda item: -item.statistics.purchase_count)),
            ):
                chosen[name].append(_first(ranked, days))
            repeat += [
                (
                    Fraction(exact(item.statistics.mean_paid_unit_price)),
                    Fraction(exact(item.statistics.mean_unit_price)),
                )
                for item in analysis.items
                if item.statistics.purchase_count >= REPEAT_PURCHASES
            ]
    follow_up = LAST_DAY - cutoff
    counts = [len(items) for items in chosen["recommended"]]
    rows = {"recommended": _order(chosen["recommended"], follow_up)}
    for name in (HEURISTIC, "purchase count"):
        rows[f"{name}, five each"] = _order(chosen[name], follow_up)
        matched = [items[:count] for items, count in zip(chosen[name], counts, strict=True)]
        rows[f"{name}, as many"] = _order(matched, follow_up)
    best = rows["recommended"].bought_in_time
    table = {
        name: asdict(row) | {"relative": None if name == "recommended" else best / row.bought_in_time - 1}
        for name, row in rows.items()
    }
    return table, asdict(_money(answers, repeat))


def _question(histories: Histories, household: int, cutoff: int) -> AnalysisRequest:
    history, types = _history_and_types(histories, household, FIRST_DAY, cutoff)
    return AnalysisRequest(history, cutoff, types)


def history_before(histories: Histories, household: int, cutoff: int, first: int = FIRST_DAY) -> PurchaseHistory:
    """What a household bought from a day on up to a cut-off, both included; perhaps nothing."""
    return _history_and_types(histories, household, first, cutoff)[0]


def _history_and_types(
    histories: Histories, household: int, first: int, cutoff: int
) -> tuple[PurchaseHistory, tuple[str, ...]]:
    lines = _lines(histories, household, (histories.lines["day"] >= first) & (histories.lines["day"] <= cutoff))
    items, indices = np.unique(histories.lines["item"][lines], return_inverse=True)
    history = PurchaseHistory(
        item_names=tuple(histories.item_names[item] for item in items),
        item_categories=tuple(histories.item_categories[item] for item in items),
        item_indices=indices.astype(np.int32),
        days=histories.lines["day"][lines],
        quantities=histories.lines["quantity"][lines],
        prices=histories.lines["price"][lines],
        savings=histories.lines["saving"][lines],
    )
    return history, tuple(histories.item_types[item] for item in items)


def later_days(histories: Histories, household: int, cutoff: int, end: int) -> set[tuple[str, int]]:
    """Items and the days after the cut-off, up to and with `end`, on which a household buys them."""
    lines = _lines(histories, household, (histories.lines["day"] > cutoff) & (histories.lines["day"] <= end))
    bought = zip(histories.lines["item"][lines].tolist(), histories.lines["day"][lines].tolist(), strict=True)
    return {(histories.item_names[item], day) for item, day in bought}


def _days_to_next(histories: Histories, household: int, cutoff: int) -> Mapping[str, float]:
    """Days from the cut-off to the next purchase of each item that is bought after it."""
    soonest: dict[str, float] = {}
    for name, day in later_days(histories, household, cutoff, LAST_DAY):
        soonest[name] = min(soonest.get(name, np.inf), day - cutoff)
    return soonest


def _lines(histories: Histories, household: int, wanted: Any) -> slice | Any:
    start, end = histories.household_starts[household : household + 2]
    return start + np.flatnonzero(wanted[start:end])


async def recommend(
    analysis: HistoryAnalysis, as_of_day: int, *, max_recommendations: int = MAX_RECOMMENDATIONS
) -> RecommendationResult:
    """What the recommendation service answers to an analysis, with the default policy."""
    request = labels.recommendation_request(analysis, as_of_day, max_recommendations)
    (scored,) = await score([filter_candidates(request, Policy(), _RANKING_MODELS)])
    return select(scored)


def labeled_items(
    lines: ReceiptLines, level: Level, cutoff: int, models: Models, *, end: int, policy: Policy
) -> list[LabeledItem]:
    """The items of `labels.labeled_items`, with receipt lines seen at a level."""
    return labels.labeled_items(lines.histories(level), cutoff, models, end=end, policy=policy)


def _first(ranked: Sequence[Any], days: Mapping[str, float]) -> list[tuple[int, float]]:
    """Cadence and days to the next purchase of the first five items with three purchases or more."""
    enough = [item.statistics for item in ranked if item.statistics.purchase_count >= MIN_PURCHASES]
    return [
        (nearest_cadence(item.mean_interval_days).interval_days, days.get(item.name, np.inf))
        for item in enough[:MAX_RECOMMENDATIONS]
    ]


def _order(chosen: Sequence[Sequence[tuple[int, float]]], follow_up: int) -> Order:
    """How the chosen items of all households fared; those whose time is not over by the last day are left out."""
    seen = [[(cadence, days) for cadence, days in items if cadence * GRACE_FACTOR <= follow_up] for items in chosen]
    pairs = [pair for items in seen for pair in items]
    return Order(
        bought_in_time=float(np.mean([days <= cadence * GRACE_FACTOR for cadence, days in pairs])),
        items=len(pairs),
        households=sum(bool(items) for items in seen),
        mean_cadence_days=float(np.mean([cadence for cadence, _ in pairs])),
    )


def _money(answers: Sequence[Sequence[Recommendation]], repeat: Sequence[tuple[Fraction, Fraction]]) -> Money:
    items = [item for answer in answers for item in answer]
    versus_paid = [item.offer.price.savings_vs_paid for item in items]
    less = [savings is not None and savings.pays_less_today for savings in versus_paid]
    claims = [
        any(reason.code in (ReasonCode.SAVES_MONEY, ReasonCode.SAVES_VS_PAID) for reason in item.reasons)
        for item in items
    ]
    return Money(
        pays_less_at_5=float(np.mean([paid < shelf * Fraction(95, 100) for paid, shelf in repeat])),
        pays_less_at_15=float(np.mean([paid < shelf * Fraction(85, 100) for paid, shelf in repeat])),
        repeat_items=len(repeat),
        recommended_pay_less=float(np.mean(less)),
        false_claims=sum(claim and pays for claim, pays in zip(claims, less, strict=True)),
        mean_savings_vs_paid=float(
            np.mean(
                [savings.expected for savings in versus_paid if savings is not None and not savings.pays_less_today]
            )
        ),
    )
