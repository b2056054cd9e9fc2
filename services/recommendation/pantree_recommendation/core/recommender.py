"""The steps from evidence to recommendations: filter, score, select."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import NamedTuple

from pantree_domain.catalog import OTHER
from pantree_domain.evidence import ModelName
from pantree_domain.money import minor_unit_digits
from pantree_recommendation.core.bundle import Bundle, bundle_of, plan_item_of, planned_offer
from pantree_recommendation.core.candidate import Candidate
from pantree_recommendation.core.delivery import with_best_option
from pantree_recommendation.core.explanation import recommendation_reasons
from pantree_recommendation.core.offer import Offer, offer_of
from pantree_recommendation.core.plan import NO_CONSTRAINTS, Binding, PlanConstraints, PlanItem
from pantree_recommendation.core.policy import Policy, item_rejection_reason, option_rejection_reason, season_of
from pantree_recommendation.core.ranking import ItemFeatures, Ranker, RankerFailure, features_of
from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.selection import Models
from pantree_recommendation.core.subscription import VALUE_ORDER, Plan, Subscription
from pantree_recommendation.core.suggestion import Neighborhood, Suggestion, suggestions_of

DEFAULT_SUGGESTIONS = 5
MAX_NEAR_MISSES = 3
# In order: first what is only too expensive, then the reasons that a little more evidence would remove, last those that
# it would confirm.
_NEAR_MISS_CODES = (
    ReasonCode.MORE_EXPENSIVE,
    ReasonCode.LOW_PROBABILITY,
    ReasonCode.LOW_CONFIDENCE,
    ReasonCode.TOO_FEW_PURCHASES,
    ReasonCode.NEED_LATE,
    ReasonCode.NEED_PAUSED,
    ReasonCode.INTERVAL_TOO_LONG,
    ReasonCode.NEED_SWITCHED,
    ReasonCode.NEED_ENDED,
)
_NEAR_MISS_PLACES = {code: place for place, code in enumerate(_NEAR_MISS_CODES)}


@dataclass(frozen=True)
class RecommendationRequest:
    """The evidence on one household's items, and the options of the request."""

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
    """Selects the model when several are compared; empty when unknown."""
    model: str = ""
    """Id of the requested model; empty when the selection decides."""
    neighborhood: Neighborhood | None = None
    """What similar customers buy; None for no suggestions."""
    max_suggestions: int = DEFAULT_SUGGESTIONS
    """At least 1."""
    currency_code: str = ""
    """ISO 4217 code of all amounts; empty when unknown."""
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Items that are no longer bought, and what took their place."""
    constraints: PlanConstraints = NO_CONSTRAINTS
    """What the household demands of its plan."""
    include_analysis: bool = False


@dataclass(frozen=True)
class Recommendation:
    """An item worth a subscription."""

    candidate: Candidate
    offer: Offer
    score: float
    """0 to 1; higher is better."""
    next_due_day: date
    """Never before the as-of date."""
    first_delivery_day: date
    """After the as-of date."""
    subscription: Subscription
    """The terms in the plan."""
    reasons: tuple[Reason, ...]
    """Most important first."""


class OmittedItem(NamedTuple):
    """An item that was left out, and why."""

    name: str
    reason: Reason


@dataclass(frozen=True)
class RecommendationResult:
    """The items worth a subscription, best first."""

    recommendations: tuple[Recommendation, ...]
    omitted: tuple[OmittedItem, ...]
    """By name; empty unless requested."""
    plan: Plan
    """All recommendations together."""
    as_of: date
    currency_code: str
    """ISO 4217 code of all amounts; empty when unknown."""
    model: ModelName
    source: str
    """Where the model ran: `embedded` or `sagemaker`."""
    fallback_reason: str
    """Why the fallback model answered; empty when it did not."""
    suggestions: tuple[Suggestion, ...] = ()
    """From similar customers, best first."""
    near_misses: tuple[OmittedItem, ...] = ()
    """Up to `MAX_NEAR_MISSES` items that came closest to being recommended, closest first."""
    bindings: tuple[Binding, ...] = ()
    """Constraints that cannot be met."""
    analysis: tuple[PlanItem, ...] | None = None
    """The items that were planned; None unless requested."""


class FilteredRequest(NamedTuple):
    """A request with offers for its eligible candidates, and the models that score them."""

    request: RecommendationRequest
    policy: Policy
    offers: Sequence[tuple[Candidate, Offer]]
    rejected: Sequence[OmittedItem]
    features: Sequence[ItemFeatures]
    """Parallel to the offers."""
    ranker: Ranker
    fallback: Ranker


class ScoredRequest(NamedTuple):
    """A filtered request with a score for each offer."""

    filtered: FilteredRequest
    scores: Sequence[float]
    """Parallel to the offers."""
    ranker: Ranker
    """The model that scored them."""
    fallback_reason: str


def filter_candidates(request: RecommendationRequest, policy: Policy, models: Models) -> FilteredRequest:
    """Offers for the candidates with enough evidence, and the reasons for rejecting the others.

    Raises:
        InvalidInput: when there is no model with the requested id.
    """
    ranker = models.ranker_for(request.model, request.customer_id)
    if request.min_confidence is not None:
        policy = replace(policy, min_confidence=request.min_confidence)
    if request.min_cadence_probability is not None:
        # A threshold in the request applies to all items, without the allowance.
        policy = replace(policy, min_cadence_probability=request.min_cadence_probability, regular_allowance=0.0)
    offers, rejected = [], []
    digits = minor_unit_digits(request.currency_code)
    # Without any price, prices are unknown; next to other prices, a price of 0 is that of a free sample.
    has_prices = any(candidate.latest_unit_price > 0 for candidate in request.candidates)
    for evidence in request.candidates:
        # Most items were bought too seldom, whichever way they would be delivered.
        reason = item_rejection_reason(evidence, request.as_of, policy)
        if reason is not None:
            rejected.append(OmittedItem(evidence.name, reason))
            continue
        candidate = with_best_option(evidence, policy.required_probability(evidence), policy.max_supply_days)
        reason = option_rejection_reason(candidate, request.as_of, policy)
        if reason is None and has_prices and _is_free(candidate):
            reason = Reason(ReasonCode.NO_PRICE, {})
        if reason is None:
            discounted = policy.may_discount(candidate.name, candidate.category)
            offers.append((candidate, offer_of(candidate, policy.tiers, discounted=discounted, digits=digits)))
        else:
            rejected.append(OmittedItem(candidate.name, reason))
    features = [features_of(candidate, offer, request.as_of) for candidate, offer in offers]
    return FilteredRequest(request, policy, offers, rejected, features, ranker, models.fallback)


def _is_free(candidate: Candidate) -> bool:
    paid = candidate.paid_price
    return candidate.latest_unit_price == 0 and (paid is None or paid.mean == 0)


async def score(filtered: Sequence[FilteredRequest]) -> list[ScoredRequest]:
    """The requests with their scores, in order.

    Each model is called once with the items of all requests: one call to SageMaker instead of one per household.
    """
    positions_by_ranker: defaultdict[Ranker, list[int]] = defaultdict(list)
    for position, entry in enumerate(filtered):
        positions_by_ranker[entry.ranker].append(position)
    scored: dict[int, ScoredRequest] = {}
    for ranker, positions in positions_by_ranker.items():
        features = [item for position in positions for item in filtered[position].features]
        fallback, fallback_reason = filtered[positions[0]].fallback, ""
        try:
            scores = await ranker.scores(features)
        except RankerFailure as failure:
            if ranker is fallback:
                raise
            ranker, fallback_reason = fallback, failure.reason
            scores = await fallback.scores(features)
        begin = 0
        for position in positions:
            end = begin + len(filtered[position].offers)
            scored[position] = ScoredRequest(filtered[position], scores[begin:end], ranker, fallback_reason)
            begin = end
    return [scored[position] for position in range(len(filtered))]


def select(scored: ScoredRequest) -> RecommendationResult:
    """The best offers as recommendations, best first; items of equal score are ordered by name."""
    request, policy, _, rejected, *_ = scored.filtered
    selected, outranked = _selected(scored)
    items = [
        plan_item_of(candidate, offer, request.as_of, _best_first_day(candidate, offer, request), last_day, policy)
        for (candidate, offer), _, last_day in selected
    ]
    digits = minor_unit_digits(request.currency_code)
    bundle = bundle_of(items, policy.plan_policy, request.as_of, request.constraints, digits)
    recommendations = _recommendations(selected, bundle, request, policy)
    left_out = [OmittedItem(name, reason) for name, reason in bundle.left_out.items()]
    omitted: list[OmittedItem] = []
    if request.include_omitted:
        replaced = [
            OmittedItem(name, Reason(ReasonCode.REPLACED, {}, other_item=other))
            for name, other in request.replaced.items()
        ]
        omitted = [*rejected, *outranked, *left_out, *replaced]
    suggestions: tuple[Suggestion, ...] = ()
    if request.neighborhood is not None:
        suggestions = suggestions_of(request.neighborhood, request.candidates, policy, request.max_suggestions)
    return RecommendationResult(
        recommendations=tuple(recommendations),
        omitted=tuple(sorted(omitted, key=lambda item: item.name)),
        plan=bundle.plan,
        model=scored.ranker.model,
        source=scored.ranker.source,
        fallback_reason=scored.fallback_reason,
        suggestions=suggestions,
        near_misses=_near_misses([*rejected, *left_out], request.candidates),
        bindings=bundle.bindings,
        analysis=tuple(items) if request.include_analysis else None,
        as_of=request.as_of,
        currency_code=request.currency_code,
    )


class _Selected(NamedTuple):
    """An offer to plan."""

    offered: tuple[Candidate, Offer]
    score: float
    last_day: date | None
    """End of the season; None for what is delivered all year."""


def _selected(scored: ScoredRequest) -> tuple[list[_Selected], list[OmittedItem]]:
    """The best offers up to the limits of the request and of a category, best first, and those beyond them."""
    request, policy, offers, *_ = scored.filtered
    ranked = sorted(zip(offers, scored.scores, strict=True), key=lambda entry: (-entry[1], entry[0][0].name))
    limit = request.max_recommendations
    max_per_category = policy.max_per_category(limit)
    category_counts: Counter[str] = Counter()
    selected: list[_Selected] = []
    outranked = []
    for place, (offered, score) in enumerate(ranked, start=1):
        candidate = offered[0]
        if len(selected) == limit:
            reason = Reason(ReasonCode.OUTRANKED, {"place": place, "max_recommendations": limit})
            outranked.append(OmittedItem(candidate.name, reason))
        # Items without a category, or of none of the catalog's, need not be alike.
        elif candidate.category not in ("", OTHER) and category_counts[candidate.category] == max_per_category:
            reason = Reason(ReasonCode.CATEGORY_FULL, {"place": place, "max_of_category": max_per_category})
            outranked.append(OmittedItem(candidate.name, reason))
        else:
            category_counts[candidate.category] += 1
            season = season_of(candidate)
            selected.append(_Selected(offered, score, None if season is None else season.last_day(request.as_of)))
    return selected, outranked


def _best_first_day(candidate: Candidate, offer: Offer, request: RecommendationRequest) -> date:
    """The best first delivery of the item alone."""
    return offer.forecast.first_delivery_day or max(candidate.next_due_day or request.as_of, request.as_of)


def _recommendations(
    selected: Sequence[_Selected], bundle: Bundle, request: RecommendationRequest, policy: Policy
) -> list[Recommendation]:
    """The items of the plan, best first: by value, then by score."""
    subscription_by_name = {one.planned.item.name: one for one in bundle.subscriptions}
    recommendations = []
    for (candidate, alone), score, _ in selected:
        subscription = subscription_by_name.get(candidate.name)
        if subscription is None:
            continue
        offer = planned_offer(candidate, alone, subscription, policy)
        match = policy.goods.match(candidate.name, candidate.category)
        first_delivery_day = request.as_of + timedelta(days=subscription.planned.days[0])
        goods = None if match is None else match.goods
        reasons = recommendation_reasons(
            candidate, offer, request.as_of, first_delivery_day, goods, season_of(candidate), subscription.price
        )
        recommendations.append(
            Recommendation(
                candidate=candidate,
                offer=offer,
                score=score,
                next_due_day=max(candidate.next_due_day or request.as_of, request.as_of),
                first_delivery_day=first_delivery_day,
                subscription=subscription,
                reasons=reasons,
            )
        )
    return sorted(recommendations, key=lambda one: VALUE_ORDER[one.subscription.value])


def _near_misses(rejected: Sequence[OmittedItem], candidates: Sequence[Candidate]) -> tuple[OmittedItem, ...]:
    """The items that came closest to a recommendation, closest first.

    They are ordered by reason, then by probability, number of purchases, latest purchase and name. Items with too few
    purchases have no probability that counts. Excluded categories and goods are not among them.
    """
    candidate_by_name = {candidate.name: candidate for candidate in candidates}

    def distance(item: OmittedItem) -> tuple[int, float, int, int, str]:
        code, candidate = item.reason.code, candidate_by_name[item.name]
        forecast = None if code is ReasonCode.TOO_FEW_PURCHASES else candidate.effective_forecast
        probability = 0.0 if forecast is None else forecast.cadence_probability
        count, last_day = candidate.purchase_count, candidate.last_day.toordinal()
        return _NEAR_MISS_PLACES[code], -probability, -count, -last_day, item.name

    near = [item for item in rejected if item.reason.code in _NEAR_MISS_PLACES]
    return tuple(sorted(near, key=distance)[:MAX_NEAR_MISSES])
