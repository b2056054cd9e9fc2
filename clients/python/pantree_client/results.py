"""Results: frozen dataclasses. Their `message` is the message of the contract, which has all fields."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2
from pantree_client.conversion import value_of


@dataclass(frozen=True)
class Started:
    """First event of a stream: the request was accepted."""

    customer_id: str
    month_count: int
    seed: int
    as_of: date
    message: messages.Started = field(repr=False, compare=False)


@dataclass(frozen=True)
class MonthlyUpdate:
    """A month of purchases."""

    month_display: str
    progress: float
    """0 to 100."""
    month_number: int
    """From 1."""
    month_count: int
    trip_count: int
    purchase_count: int
    total_spend: float
    total_savings: float
    message: messages.MonthlyUpdate = field(repr=False, compare=False)


@dataclass(frozen=True)
class SavingsVsPaid:
    """Annual savings of a subscription compared with what the household paid, promotions included."""

    expected: float
    """Negative if the subscription costs more."""
    low: float
    """Four years in five save at least this."""
    high: float
    """Four years in five save at most this."""
    paid_unit_price: float
    subscription_unit_price: float
    pays_less_today: bool
    """The household pays less than the price of the subscription."""


@dataclass(frozen=True)
class DeliveredItem:
    """An item of a box."""

    name: str
    quantity: int
    price: float
    """Of all units, after the discount."""
    savings_vs_paid: float | None
    """Compared with the price paid, negative if it costs more; None if that is unknown."""
    item_id: str
    variant: str


@dataclass(frozen=True)
class Delivery:
    """A box of the calendar."""

    date: date
    items: tuple[DeliveredItem, ...]
    """By name."""
    discount_ratio: float
    """0 to 1."""
    price: float
    savings_vs_paid: float | None
    """Sum over the items; None if one is unknown."""


@dataclass(frozen=True)
class BindingConstraint:
    """A constraint that cannot be met, and what would fit."""

    constraint: str
    """Name of its field, such as `budget_per_month`."""
    text: str
    """For people."""
    fitting_value: float | None


@dataclass(frozen=True)
class Plan:
    """Annual cost and savings of all recommendations together, with the discounts for several items per delivery."""

    item_count: int
    annual_cost: float
    estimated_annual_savings: float
    """Compared with shelf prices."""
    annual_savings_vs_paid: float | None
    """Compared with prices paid, negative if the subscriptions cost more; None unless known for every item."""
    deliveries: tuple[Delivery, ...]
    """Boxes of the 84 days after the date of the request, earliest first."""
    end_date: date | None
    """Last day of the calendar; None in answers without one."""
    annual_paid: float | None
    """A year's deliveries at the prices paid; None unless known for every item."""
    boxes_per_month: float
    """Mean number of boxes in 28 days."""
    budget_per_month: float | None
    """The budget of the request, which the plan keeps; None without one."""
    max_month_cost: float
    """Price of the boxes of the most expensive 28 days in a row."""
    best_discount_ratio: float
    """Share of a year's item deliveries with the largest discount, 0 to 1."""


@dataclass(frozen=True)
class Recommendation:
    """An item worth a subscription."""

    name: str
    category: str
    confidence: float
    """0 to 100."""
    count: int
    """Number of days on which it was bought."""
    avg_interval: float
    """Days."""
    frequency: str
    """Such as `weekly`."""
    interval_days: int
    quantity: int
    """Units per delivery."""
    estimated_annual_savings: float
    """Compared with the shelf price."""
    annual_cost: float
    """After the discount."""
    savings_vs_paid: SavingsVsPaid | None
    """None if the prices paid are unknown, or do not support a claim."""
    cadence_probability: float
    """Probability of a purchase within 1.5 times the cadence, 0 to 1."""
    next_due_date: date
    first_delivery_date: date
    """Best day for the first delivery, given the days since the last purchase and the risk that the need has ended."""
    reasons: tuple[str, ...]
    """Text for people, most important first."""
    cadence_change: str
    """Text for people: the date after which a later purchase would make the cadence longer. Empty unless requested."""
    item_id: str
    """The shop's own id, as in the request; empty if it has none."""
    variant: str
    """Variant or pack size, as in the request."""
    value: str
    """Compared with the prices paid: `SAVES`, `SAME` or `CONVENIENCE` (costs more); empty if unknown."""
    discount_ratio_in_plan: float
    """Mean discount over the deliveries of a year, 0 to 1."""
    annual_savings_in_plan: float | None
    """Compared with the prices paid, negative if it costs more; None if unknown."""
    unit_price: float
    """Shelf price that all costs are based on."""
    price_date: date | None
    """Day of the purchase that the price is from; None if unknown."""
    next_charge: float
    """Price of the first delivery."""
    plain_name: str
    """What a name in the capitals of receipts means, in words for shoppers; empty for other names and when unknown."""
    max_unit_price: float | None
    """The price limit of the request for the item; None without one."""
    message: recommendation_service_pb2.Recommendation = field(repr=False, compare=False)


@dataclass(frozen=True)
class Suggestion:
    """An item that similar customers buy regularly. The household's own purchases are too few for an offer."""

    name: str
    category: str
    score: float
    """Lower bound of the share of similar customers who buy it regularly, 0 to 1."""
    count: int
    """Number of days on which the household bought it: 0, 1 or 2."""
    low_interval_days: float
    """Lower quartile of the interval of similar customers."""
    high_interval_days: float
    """Upper quartile of the interval of similar customers."""
    reasons: tuple[str, ...]
    """Text for people, most important first."""
    message: recommendation_service_pb2.Suggestion = field(repr=False, compare=False)


@dataclass(frozen=True)
class OmittedItem:
    """An item that is not recommended."""

    name: str
    code: str
    """For programs, such as `LOW_PROBABILITY`."""
    reason: str
    """Text for people."""
    item_id: str = ""
    """The shop's own id, as in the request; empty if it has none."""
    variant: str = ""
    """Variant or pack size, as in the request."""


@dataclass(frozen=True)
class AnswerWarning:
    """Something that is missing from an answer, and why."""

    component: str
    code: str
    message: str


@dataclass(frozen=True)
class Result:
    """Recommendations for a household."""

    customer_id: str
    recommendation_id: str
    recommendations: tuple[Recommendation, ...]
    plan: Plan
    suggestions: tuple[Suggestion, ...]
    """Best first; empty unless requested."""
    omitted: tuple[OmittedItem, ...]
    """By name; empty unless requested."""
    near_misses: tuple[OmittedItem, ...]
    """If nothing is recommended, the up to three items that came nearest to it, nearest first."""
    warnings: tuple[AnswerWarning, ...]
    as_of: date
    seed: int
    """0 for a real history."""
    source: str
    """`embedded` or `sagemaker`."""
    month_count: int
    trip_count: int
    purchase_count: int
    item_count: int
    currency_code: str
    """ISO 4217 code of all amounts, from the request; empty if it had none."""
    has_prices: bool
    """False if the history has no prices: costs and savings are 0 and mean nothing."""
    binding_constraints: tuple[BindingConstraint, ...]
    """Constraints that cannot be met; empty when all are."""
    analysis: recommendation_service_pb2.PlanAnalysis | None
    """For `PlanRequest`; None unless requested."""
    message: messages.ProcessResult = field(repr=False, compare=False)


@dataclass(frozen=True)
class PredictedItem:
    """An item of a predicted basket."""

    name: str
    category: str
    """Empty if unknown."""
    probability: float
    """That the household buys it on that day, if it shops then; 0 to 1."""
    purchase_count: int
    """Days on which the household bought it; 0 for a new item."""
    last_date: date | None
    """Day of the latest purchase; None for a new item."""
    item_id: str
    """As in the purchases; empty if they have none."""
    variant: str
    """As in the purchases; empty if they have none."""
    message: recommendation_service_pb2.PredictedItem = field(repr=False, compare=False)


@dataclass(frozen=True)
class PlannedSubscription:
    """An item of a plan."""

    name: str
    frequency: str
    """Such as `weekly`."""
    interval_days: int
    quantity: int
    """Units per delivery."""
    first_delivery_date: date
    annual_cost: float
    value: str
    """Compared with the prices paid: `SAVES`, `SAME` or `CONVENIENCE` (costs more); empty if unknown."""
    discount_ratio_in_plan: float
    """Mean discount over the deliveries of a year, 0 to 1."""
    annual_savings_in_plan: float | None
    """Compared with the prices paid, negative if it costs more; None if unknown."""
    unit_price: float
    price_date: date | None
    next_charge: float
    """Price of the first delivery."""
    max_unit_price: float | None
    """The price limit of the request for the item; None without one."""
    item_id: str
    variant: str
    message: recommendation_service_pb2.PlannedSubscription = field(repr=False, compare=False)


@dataclass(frozen=True)
class DeliveryPlan:
    """Deliveries planned again, with constraints."""

    customer_id: str
    recommendation_id: str
    """Equal for equal results."""
    as_of: date
    currency_code: str
    plan: Plan
    """Without deliveries when the constraints cannot be met."""
    subscriptions: tuple[PlannedSubscription, ...]
    left_out: tuple[OmittedItem, ...]
    binding_constraints: tuple[BindingConstraint, ...]
    """Constraints that cannot be met; empty when all are."""
    message: messages.PlanResult = field(repr=False, compare=False)


@dataclass(frozen=True)
class NextBasket:
    """The most probable items of a household's next basket."""

    customer_id: str
    recommendation_id: str
    """Equal for equal results."""
    as_of: date
    """Day of the basket."""
    items: tuple[PredictedItem, ...]
    """The most probable first."""
    message: messages.NextBasketResult = field(repr=False, compare=False)


@dataclass(frozen=True)
class ComponentStatus:
    """State of one part."""

    name: str
    state: str
    """serving, degraded, unavailable or disabled."""
    required: bool
    latency_ms: float
    message: str


@dataclass(frozen=True)
class Status:
    """State of the mesh."""

    state: str
    """serving, degraded or unavailable."""
    components: tuple[ComponentStatus, ...]
    version: str


@dataclass(frozen=True)
class CategoryWeight:
    """Share of an archetype's purchases in one category."""

    category: str
    weight_ratio: float
    """0 to 1."""


@dataclass(frozen=True)
class Archetype:
    """A kind of shopper that can be simulated."""

    id: str
    """Name in requests."""
    display_name: str
    description: str
    mean_trip_gap_days: float
    mean_basket_items: float
    category_weights: tuple[CategoryWeight, ...]
    """Largest first; their sum is 1."""


@dataclass(frozen=True)
class CatalogItem:
    """An ordinary grocery item."""

    name: str
    category: str
    pack: str
    """One unit, such as `2 lb bag`."""
    usual_price: float


@dataclass(frozen=True)
class RankingModel:
    """A model that ranks items."""

    id: str
    """Name in requests."""
    name: str
    version: str
    source: str
    """`embedded` or `sagemaker`."""
    share_ratio: float
    """Share of customers, 0 to 1."""
    is_fallback: bool
    """Whether it is used when another one fails."""
    message: recommendation_service_pb2.ModelDetails = field(repr=False, compare=False)


@dataclass(frozen=True)
class Cadence:
    """A delivery interval on offer."""

    frequency: str
    """Such as `weekly`."""
    interval_days: int


@dataclass(frozen=True)
class ComponentConfig:
    """A part that the pipeline calls."""

    name: str
    required: bool
    """Without it there are no answers."""
    enabled: bool


@dataclass(frozen=True)
class Config:
    """Configuration of the pipeline."""

    version: str
    default_archetype: str
    default_simulation_months: int
    max_simulation_months: int
    max_items: int
    """Limit for a first purchase."""
    max_history_rows: int
    components: tuple[ComponentConfig, ...]
    cadences: tuple[Cadence, ...]
    """Shortest first."""
    message: messages.GetConfigResponse = field(repr=False, compare=False)


Event = Started | MonthlyUpdate | Result


def to_event(message: messages.StreamProcessResponse) -> Event:
    """Event of a stream."""
    if message.HasField("started"):
        return value_of(Started, message.started)
    if message.HasField("monthly_update"):
        return value_of(MonthlyUpdate, message.monthly_update)
    return to_result(message.completed)


def to_result(message: messages.ProcessResult) -> Result:
    """Result of a request."""
    answer = message.recommendations
    changes = {change.name: change.text for change in answer.cadence_changes}
    plain_names = {one.name: one.plain_name for one in answer.plain_names}
    return value_of(
        Result,
        message,
        message.history_summary,
        recommendations=tuple(
            _recommendation(item, changes.get(item.name, ""), plain_names.get(item.name, ""))
            for item in answer.recommendations
        ),
        plan=to_plan(answer.plan),
        binding_constraints=to_bindings(answer.binding_constraints),
        analysis=message.analysis if message.HasField("analysis") else None,
        suggestions=tuple(value_of(Suggestion, item, reasons=_texts(item.reasons)) for item in answer.suggestions),
        omitted=_omitted(answer.omitted),
        near_misses=_omitted(answer.near_misses),
        warnings=tuple(value_of(AnswerWarning, warning) for warning in message.warnings),
    )


def to_plan(message: recommendation_service_pb2.SubscriptionPlan) -> Plan:
    """All subscriptions of a household, with their deliveries."""
    has = message.HasField
    return value_of(
        Plan,
        message,
        annual_savings_vs_paid=message.annual_savings_vs_paid if has("annual_savings_vs_paid") else None,
        annual_paid=message.annual_paid if has("annual_paid") else None,
        budget_per_month=message.budget_per_month if has("budget_per_month") else None,
        end_date=date.fromisoformat(message.end_date) if message.end_date else None,
        deliveries=tuple(
            value_of(
                Delivery,
                delivery,
                savings_vs_paid=delivery.savings_vs_paid if delivery.HasField("savings_vs_paid") else None,
                items=tuple(
                    value_of(
                        DeliveredItem,
                        item,
                        savings_vs_paid=item.savings_vs_paid if item.HasField("savings_vs_paid") else None,
                    )
                    for item in delivery.items
                ),
            )
            for delivery in message.deliveries
        ),
    )


def to_bindings(bindings: Iterable[recommendation_service_pb2.BindingConstraint]) -> tuple[BindingConstraint, ...]:
    """Constraints that cannot be met."""
    return tuple(
        BindingConstraint(one.constraint, one.text, one.fitting_value if one.HasField("fitting_value") else None)
        for one in bindings
    )


def to_delivery_plan(message: messages.PlanResult) -> DeliveryPlan:
    """A plan."""
    return value_of(
        DeliveryPlan,
        message,
        plan=to_plan(message.plan),
        subscriptions=tuple(
            value_of(PlannedSubscription, one, one.subscription, **_terms(one.subscription))
            for one in message.subscriptions
        ),
        left_out=_omitted(message.left_out),
        binding_constraints=to_bindings(message.binding_constraints),
    )


def _terms(subscription: recommendation_service_pb2.Subscription) -> dict[str, Any]:
    has_savings = subscription.HasField("annual_savings_in_plan")
    return {
        "max_unit_price": subscription.max_unit_price if subscription.HasField("max_unit_price") else None,
        "annual_savings_in_plan": subscription.annual_savings_in_plan if has_savings else None,
        "price_date": date.fromisoformat(subscription.price_date) if subscription.price_date else None,
    }


def to_next_basket(message: messages.NextBasketResult) -> NextBasket:
    """A predicted basket."""
    return value_of(
        NextBasket,
        message,
        items=tuple(
            value_of(PredictedItem, item, last_date=date.fromisoformat(item.last_date) if item.last_date else None)
            for item in message.items
        ),
    )


def _recommendation(
    message: recommendation_service_pb2.Recommendation, cadence_change: str, plain_name: str
) -> Recommendation:
    subscription, savings = message.subscription, message.subscription.savings_vs_paid
    savings_vs_paid = value_of(
        SavingsVsPaid,
        savings,
        expected=savings.expected_annual_savings,
        low=savings.low_annual_savings,
        high=savings.high_annual_savings,
    )
    return value_of(
        Recommendation,
        message,
        subscription,
        savings_vs_paid=savings_vs_paid if subscription.HasField("savings_vs_paid") else None,
        **_terms(subscription),
        reasons=_texts(message.reasons),
        cadence_change=cadence_change,
        plain_name=plain_name,
    )


def _omitted(items: Iterable[recommendation_service_pb2.OmittedItem]) -> tuple[OmittedItem, ...]:
    return tuple(
        OmittedItem(item.name, item.reason.code, item.reason.text, item.item_id, item.variant) for item in items
    )


def _texts(reasons: Iterable[recommendation_service_pb2.Reason]) -> tuple[str, ...]:
    return tuple(reason.text for reason in reasons)


def to_status(message: messages.GetStatusResponse) -> Status:
    """State of the mesh."""
    components = (value_of(ComponentStatus, item, state=_state_name(item.state)) for item in message.components)
    return value_of(Status, message, state=_state_name(message.state), components=tuple(components))


def _state_name(state: messages.ComponentState.ValueType) -> str:
    return messages.ComponentState.Name(state).removeprefix("COMPONENT_STATE_").lower()


def to_config(message: messages.GetConfigResponse) -> Config:
    """Configuration of the pipeline."""
    components = (value_of(ComponentConfig, item) for item in message.components)
    cadences = (value_of(Cadence, item) for item in message.cadences)
    return value_of(Config, message, components=tuple(components), cadences=tuple(cadences))


def to_archetype(message: simulation_service_pb2.Archetype) -> Archetype:
    """A kind of shopper."""
    weights = tuple(value_of(CategoryWeight, item) for item in message.category_weights)
    return value_of(Archetype, message, category_weights=weights)


def to_catalog_item(message: simulation_service_pb2.CatalogItem) -> CatalogItem:
    """A grocery item."""
    return value_of(CatalogItem, message)


def to_models(message: messages.GetModelsResponse) -> tuple[RankingModel, ...]:
    """The models that rank items."""
    return tuple(value_of(RankingModel, model, model.model) for model in message.ranking.models)
