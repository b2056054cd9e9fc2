"""From evidence to recommendations: leave out, offer, rank, explain."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from pantree_domain.catalog import Perishability
from pantree_recommendation.core.candidate import Candidate, Trend
from pantree_recommendation.core.offer import Offer, offer_of
from pantree_recommendation.core.plan import Plan, plan_of
from pantree_recommendation.core.policy import Policy, ground_for_omission
from pantree_recommendation.core.ranking import ModelName, Ranker, RankerFailure, features_of
from pantree_recommendation.core.reason import Reason, ReasonCode

# A coefficient of variation of at most 0.5. Only a fifth of the items that real households buy again and again are that
# regular (84.51° Complete Journey, 2017), so that the word means something.
LEAST_REGULAR_CONSISTENCY = 1 / 1.5

# What a cadence's probability looks at: the interval and half of it again.
GRACE_RATIO = 1.5


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


@dataclass(frozen=True)
class Recommendation:
    """An item worth a subscription."""

    candidate: Candidate
    offer: Offer
    score: float
    """0 to 1; higher is better."""
    next_due_day: date
    """Never before the day of the question."""
    reasons: tuple[Reason, ...]
    """Most important first."""


@dataclass(frozen=True)
class OmittedItem:
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


class Recommender:
    """Answers questions by a policy and a model."""

    def __init__(self, policy: Policy, embedded: Ranker, remote: Ranker | None = None) -> None:
        """Takes what it decides by.

        Args:
            policy: what is asked of an item, and what is offered.
            embedded: a model that always answers.
            remote: a model that is asked first; the embedded one stands in when it fails.
        """
        self._policy = policy
        self._remote = remote
        self.fallback = embedded
        """The model that stands in."""

    @property
    def first(self) -> Ranker:
        """The model that is asked first."""
        return self._remote or self.fallback

    async def recommend(self, question: Question) -> Answer:
        """The items worth a subscription, best first; items of equal score are ordered by name."""
        offers, omitted = await asyncio.to_thread(_screen, question, self._policy)
        features = await asyncio.to_thread(
            lambda: [features_of(candidate, offer, question.as_of) for candidate, offer in offers]
        )
        ranker, fallback_reason = self.first, ""
        try:
            scores = await ranker.scores(features)
        except RankerFailure as failure:
            if self._remote is None:
                raise
            ranker, fallback_reason = self.fallback, str(failure)
            scores = await ranker.scores(features)
        recommendations, outranked = await asyncio.to_thread(_select, question, self._policy, offers, scores)
        chosen = [(item.candidate, item.offer) for item in recommendations]
        return Answer(
            recommendations=recommendations,
            omitted=tuple(sorted(omitted + outranked, key=lambda item: item.name)) if question.include_omitted else (),
            plan=await asyncio.to_thread(plan_of, chosen, self._policy.tiers),
            model=ranker.model,
            source=ranker.source,
            fallback_reason=fallback_reason,
        )


def _screen(question: Question, policy: Policy) -> tuple[list[tuple[Candidate, Offer]], list[OmittedItem]]:
    """The candidates with enough evidence, each with its offer, and those without, each with the ground."""
    if question.min_confidence is not None:
        policy = replace(policy, min_confidence=question.min_confidence)
    if question.min_cadence_probability is not None:
        policy = replace(policy, min_cadence_probability=question.min_cadence_probability)
    offers, omitted = [], []
    for candidate in question.candidates:
        ground = ground_for_omission(candidate, question.as_of, policy)
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
            recommendations.append(
                Recommendation(
                    candidate=candidate,
                    offer=offer,
                    score=score,
                    next_due_day=max(candidate.next_due_day or question.as_of, question.as_of),
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
            "days": math.floor(forecast.interval_days * GRACE_RATIO),
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
            "run_out_probability": forecast.run_out_probability,
            "pile_up_ratio": forecast.pile_up_ratio,
        }
        reasons.append(Reason(ReasonCode.CADENCE_BY_RISK, values))
    return reasons


def _money_reasons(offer: Offer) -> list[Reason]:
    """What it saves, against what was paid where that is known; never a saving where the household pays less."""
    honest = offer.price.honest_savings
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
    if honest.already_pays_less:
        return [Reason(ReasonCode.ALREADY_PAYS_LESS, prices)]
    if honest.expected <= 0:
        return []
    values = {
        **prices,
        "expected_annual_savings": honest.expected,
        "low_annual_savings": honest.low,
        "high_annual_savings": honest.high,
        "discount_ratio": offer.discount_ratio,
    }
    return [Reason(ReasonCode.SAVES_AGAINST_PAID, values)]
