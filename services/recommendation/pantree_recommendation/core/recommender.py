"""From evidence to recommendations: leave out, offer, rank, explain."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from pantree_domain.cadence import GRACE_FACTOR
from pantree_domain.catalog import Perishability
from pantree_domain.evidence import ModelName, Trend
from pantree_recommendation.core.candidate import MS_PER_CANDIDATE, Candidate
from pantree_recommendation.core.offer import Offer, offer_of
from pantree_recommendation.core.plan import Plan, plan_of
from pantree_recommendation.core.policy import Policy, rejection_reason
from pantree_recommendation.core.ranking import ItemFeatures, Ranker, RankerFailure, features_of
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.selection import Models, ModelSource
from pantree_recommendation.core.suggestion import Neighborhood, Suggestion, suggestions_of
from pantree_runtime.cpu import run_cpu
from pantree_runtime.errors import InvalidInput, PantreeError

# A coefficient of variation of at most 0.5. Only a fifth of the items that real households buy again and again are that
# regular (84.51° Complete Journey, 2017), so that the word means something.
LEAST_REGULAR_CONSISTENCY = 1 / 1.5

DEFAULT_SUGGESTIONS = 5
MAX_NEAR_MISSES = 3
# From the one that a little more evidence overcomes to those that it confirms.
_GROUNDS_BY_DISTANCE = (
    ReasonCode.LOW_PROBABILITY,
    ReasonCode.LOW_CONFIDENCE,
    ReasonCode.TOO_FEW_PURCHASES,
    ReasonCode.NEED_LATE,
    ReasonCode.NEED_PAUSED,
    ReasonCode.INTERVAL_TOO_LONG,
    ReasonCode.NEED_SWITCHED,
    ReasonCode.NEED_ENDED,
)


@dataclass(frozen=True)
class Question:
    """What is asked about one household."""

    candidates: tuple[Candidate, ...]
    """With distinct names."""
    as_of: date
    max_recommendations: int
    """At least 1."""
    min_confidence: float | None = None
    """0 to 100; None for the policy's own."""
    min_cadence_probability: float | None = None
    """0 to 1; None for the policy's own."""
    include_omitted: bool = False
    customer_id: str = ""
    """Decides which model answers where two are compared; empty when unknown."""
    model: str = ""
    """Id of the model that is to answer; empty when the selection decides."""
    neighborhood: Neighborhood | None = None
    """What similar customers buy; None when nobody asked."""
    max_suggestions: int = DEFAULT_SUGGESTIONS
    """At least 1."""


@dataclass(frozen=True)
class Recommendation:
    """An item worth a subscription."""

    candidate: Candidate
    offer: Offer
    score: float
    """0 to 1; higher is better."""
    next_due_day: date
    """Never before the day of the question."""
    first_delivery_day: date
    """When deliveries best begin, never before the day of the question."""
    reasons: tuple[Reason, ...]
    """Most important first."""


class OmittedItem(NamedTuple):
    """An item that was left out, and why."""

    name: str
    reason: Reason


@dataclass(frozen=True)
class Answer:
    """The items worth a subscription, best first."""

    recommendations: tuple[Recommendation, ...]
    omitted: tuple[OmittedItem, ...]
    """By name; empty unless asked for."""
    plan: Plan
    """All recommendations together."""
    model: ModelName
    source: str
    """Where the model ran: `embedded` or `sagemaker`."""
    fallback_reason: str
    """Why the embedded model answered in place of the first one; empty otherwise."""
    suggestions: tuple[Suggestion, ...] = ()
    """From similar customers, best first."""
    near_misses: tuple[OmittedItem, ...] = ()
    """When nothing is recommended, up to `MAX_NEAR_MISSES` items that came closest to it, the closest first."""


@dataclass(frozen=True)
class _Screened:
    """A question whose candidates were judged, not ranked yet."""

    question: Question
    offers: Sequence[tuple[Candidate, Offer]]
    omitted: Sequence[OmittedItem]
    features: Sequence[ItemFeatures]
    """Parallel to the offers."""


@dataclass(frozen=True)
class _Scored:
    """What a model said, and which one it was."""

    scores: Sequence[float]
    ranker: Ranker
    fallback_reason: str


class Recommender:
    """Answers questions by a policy and the models of the moment."""

    def __init__(self, policy: Policy, models: ModelSource) -> None:
        """Takes what it decides by.

        Args:
            policy: what is asked of an item, and what is offered.
            models: the models, and which of them answers whom.
        """
        self._policy = policy
        self._models = models

    async def models(self) -> Models:
        """The models now."""
        return await self._models.current()

    async def recommend(self, question: Question) -> Answer:
        """The items worth a subscription, best first; items of equal score are ordered by name.

        Raises:
            InvalidInput: when there is no model of the name that was asked for.
        """
        (answer,) = await self.recommend_all([question])
        if isinstance(answer, PantreeError):
            raise answer
        return answer

    async def recommend_all(self, questions: Sequence[Question]) -> list[Answer | PantreeError]:
        """The answer to each question, in order, or what is wrong with it.

        The items of all households that a model answers are ranked in one call: one request to SageMaker, not one each.
        """
        models = await self._models.current()
        answers: list[Answer | PantreeError | None] = [None] * len(questions)
        positions_of: dict[Ranker, list[int]] = {}
        for position, question in enumerate(questions):
            try:
                positions_of.setdefault(models.chosen(question.model, question.customer_id), []).append(position)
            except InvalidInput as error:
                answers[position] = error
        for ranker, positions in positions_of.items():
            asked = [questions[position] for position in positions]
            cost_ms = sum(len(question.candidates) for question in asked) * MS_PER_CANDIDATE
            screened = await run_cpu(cost_ms, self._all_screened, asked)
            scored = await _scored(screened, ranker, models.fallback)
            answered = await run_cpu(cost_ms, _answers, screened, scored, self._policy)
            for position, answer in zip(positions, answered, strict=True):
                answers[position] = answer
        return [answer for answer in answers if answer is not None]

    def _all_screened(self, questions: Sequence[Question]) -> list[_Screened]:
        return [self._screened(question) for question in questions]

    def _screened(self, question: Question) -> _Screened:
        offers, omitted = _screen(question, self._policy)
        features = [features_of(candidate, offer, question.as_of) for candidate, offer in offers]
        return _Screened(question, offers, omitted, features)


async def _scored(screened: Sequence[_Screened], ranker: Ranker, fallback: Ranker) -> _Scored:
    """Scores of the items of all questions, one after the other; the fallback's when the ranker fails."""
    features = [item for entry in screened for item in entry.features]
    try:
        return _Scored(await ranker.scores(features), ranker, "")
    except RankerFailure as failure:
        if ranker is fallback:
            raise
        return _Scored(await fallback.scores(features), fallback, str(failure))


def _answers(screened: Sequence[_Screened], scored: _Scored, policy: Policy) -> list[Answer]:
    """The answer to each question."""
    answers, begin = [], 0
    for entry in screened:
        end = begin + len(entry.offers)
        recommendations, outranked = _select(entry.question, policy, entry.offers, scored.scores[begin:end])
        omitted = [*entry.omitted, *outranked] if entry.question.include_omitted else []
        near_misses = () if recommendations else _near_misses(entry.omitted, entry.question.candidates)
        answers.append(
            Answer(
                recommendations=recommendations,
                omitted=tuple(sorted(omitted, key=lambda item: item.name)),
                plan=plan_of([(item.candidate, item.offer) for item in recommendations], policy.tiers),
                model=scored.ranker.model,
                source=scored.ranker.source,
                fallback_reason=scored.fallback_reason,
                suggestions=_suggestions(entry.question, policy),
                near_misses=near_misses,
            )
        )
        begin = end
    return answers


def _near_misses(omitted: Sequence[OmittedItem], candidates: Sequence[Candidate]) -> tuple[OmittedItem, ...]:
    """The items that came near_misses: those that lack probability, then those that lack purchases, then the others.

    Among equals the more probable, the more often bought, the first by name. What the shop excludes came no way at all.
    """
    evidence = {candidate.name: candidate for candidate in candidates}

    def distance(item: OmittedItem) -> tuple[int, float, int, str]:
        candidate = evidence[item.name]
        expected = candidate.expected
        probability = 0.0 if expected is None else expected.cadence_probability
        return _GROUNDS_BY_DISTANCE.index(item.reason.code), -probability, -candidate.purchase_count, item.name

    near = [item for item in omitted if item.reason.code in _GROUNDS_BY_DISTANCE]
    return tuple(sorted(near, key=distance)[:MAX_NEAR_MISSES])


def _suggestions(question: Question, policy: Policy) -> tuple[Suggestion, ...]:
    if question.neighborhood is None:
        return ()
    return suggestions_of(question.neighborhood, question.candidates, policy, question.max_suggestions)


def _screen(question: Question, policy: Policy) -> tuple[list[tuple[Candidate, Offer]], list[OmittedItem]]:
    """The candidates with enough evidence, each with its offer, and those without, each with the ground."""
    if question.min_confidence is not None:
        policy = replace(policy, min_confidence=question.min_confidence)
    if question.min_cadence_probability is not None:
        # Whoever names a threshold means it.
        policy = replace(policy, min_cadence_probability=question.min_cadence_probability, regular_allowance=0.0)
    offers, omitted = [], []
    for candidate in question.candidates:
        ground = rejection_reason(candidate, question.as_of, policy)
        if ground is None:
            offers.append((candidate, offer_of(candidate, policy.tiers)))
        else:
            omitted.append(OmittedItem(candidate.name, ground))
    return offers, omitted


def _select(
    question: Question, policy: Policy, offers: Sequence[tuple[Candidate, Offer]], scores: Sequence[float]
) -> tuple[tuple[Recommendation, ...], list[OmittedItem]]:
    """The best offers as recommendations, not too many of one category, and the others as omitted."""
    ranked = sorted(zip(offers, scores, strict=True), key=lambda entry: (-entry[1], entry[0][0].name))
    limit = question.max_recommendations
    most = policy.most_of_category(limit)
    of_category: Counter[str] = Counter()
    recommendations: list[Recommendation] = []
    omitted = []
    for place, ((candidate, offer), score) in enumerate(ranked, start=1):
        if len(recommendations) == limit:
            ground = Reason(ReasonCode.OUTRANKED, {"place": place, "max_recommendations": limit})
            omitted.append(OmittedItem(candidate.name, ground))
        elif candidate.category and of_category[candidate.category] == most:
            ground = Reason(ReasonCode.CATEGORY_FULL, {"place": place, "max_of_category": most})
            omitted.append(OmittedItem(candidate.name, ground))
        else:
            of_category[candidate.category] += 1
            due = candidate.next_due_day or question.as_of
            recommendations.append(
                Recommendation(
                    candidate=candidate,
                    offer=offer,
                    score=score,
                    next_due_day=max(due, question.as_of),
                    first_delivery_day=max(offer.forecast.first_delivery_day or due, question.as_of),
                    reasons=tuple(_reasons(candidate, offer, question.as_of)),
                )
            )
    return tuple(recommendations), omitted


def _reasons(candidate: Candidate, offer: Offer, as_of: date) -> list[Reason]:
    """Why an item is recommended, most important first."""
    assert candidate.mean_interval_days is not None  # or there were no offer
    regular = candidate.consistency_ratio >= LEAST_REGULAR_CONSISTENCY
    reasons = [
        Reason(
            ReasonCode.BOUGHT_REGULARLY if regular else ReasonCode.BOUGHT_REPEATEDLY,
            {
                "purchase_count": candidate.purchase_count,
                "mean_interval_days": candidate.mean_interval_days,
                "consistency_ratio": candidate.consistency_ratio,
            },
        )
    ]
    if candidate.next_due_day is not None and candidate.next_due_day <= as_of:
        reasons.append(Reason(ReasonCode.DUE_NOW, {"overdue_days": (as_of - candidate.next_due_day).days}))
    reasons += _cadence_reasons(candidate, offer)
    reasons += _money_reasons(offer)
    if candidate.trend is Trend.ACCELERATING:
        reasons.append(Reason(ReasonCode.BOUGHT_MORE_OFTEN, {"mean_interval_days": candidate.mean_interval_days}))
    if candidate.perishability is Perishability.MONTHS:
        reasons.append(Reason(ReasonCode.KEEPS_FOR_MONTHS, {}))
    return reasons


def _cadence_reasons(candidate: Candidate, offer: Offer) -> list[Reason]:
    """How likely the item is needed, and why it comes as often as it does."""
    reasons = []
    forecast = candidate.forecast
    if forecast is not None:
        values = {
            "cadence_probability": forecast.cadence_probability,
            "days": math.floor(forecast.interval_days * GRACE_FACTOR),
        }
        reasons.append(Reason(ReasonCode.LIKELY_BOUGHT_AGAIN, values))
    if offer.cadence != offer.supported_cadence:
        assert candidate.suggested_interval_days is not None  # nothing else lengthens a cadence
        values = {
            "interval_days": offer.cadence.interval_days,
            "supported_interval_days": offer.supported_cadence.interval_days,
            "purchase_count": candidate.purchase_count,
            "suggested_interval_days": candidate.suggested_interval_days,
        }
        reasons.append(Reason(ReasonCode.CADENCE_LENGTHENED, values))
    elif forecast is not None:
        values = {
            "interval_days": forecast.interval_days,
            "stockout_probability": forecast.stockout_probability,
            "overstock_ratio": forecast.overstock_ratio,
        }
        reasons.append(Reason(ReasonCode.CADENCE_BY_RISK, values))
    return reasons


def _money_reasons(offer: Offer) -> list[Reason]:
    """What it saves, against what was paid where that is known; never a saving where the household pays less."""
    honest = offer.price.savings_vs_paid
    if honest is None:
        if offer.estimated_annual_savings <= 0:
            return []
        values = {
            "estimated_annual_savings": offer.estimated_annual_savings,
            "discount_ratio": offer.discount_ratio,
        }
        return [Reason(ReasonCode.SAVES_MONEY, values)]
    prices = {
        "paid_unit_price": honest.paid_unit_price,
        "subscription_unit_price": honest.subscription_unit_price,
    }
    if honest.pays_less_today:
        return [Reason(ReasonCode.PAYS_LESS_TODAY, prices)]
    if honest.expected <= 0:
        return []
    values = {
        **prices,
        "expected_annual_savings": honest.expected,
        "low_annual_savings": honest.low,
        "high_annual_savings": honest.high,
        "discount_ratio": offer.discount_ratio,
    }
    return [Reason(ReasonCode.SAVES_VS_PAID, values)]
