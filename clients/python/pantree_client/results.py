"""What a caller gets: frozen values. `message` holds the contract's own message, for whoever wants all of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.recommendation.v1 import recommendation_service_pb2
from pantree.simulation.v1 import simulation_service_pb2


@dataclass(frozen=True)
class Started:
    """The request is accepted and the work has begun."""

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
    """What a subscription saves in a year against what the household really paid, promotions included."""

    expected: float
    """Below 0 when the subscription costs more."""
    low: float
    """Four years in five bring at least this."""
    high: float
    """Four years in five bring at most this."""
    paid_unit_price: float
    subscription_unit_price: float
    pays_less_today: bool
    """The household pays less than the subscription would ask."""


@dataclass(frozen=True)
class Plan:
    """What all recommendations cost and save in a year, together, with the discounts for several items on a day."""

    item_count: int
    annual_cost: float
    estimated_annual_savings: float
    """Against shelf prices."""
    annual_savings_vs_paid: float | None
    """Against what was paid, below 0 when the subscriptions cost more; None when that is not known of every item."""


@dataclass(frozen=True)
class Recommendation:
    """An item worth a subscription."""

    name: str
    category: str
    confidence: float
    """0 to 100."""
    count: int
    """Days on which it was bought."""
    avg_interval: float
    """Days."""
    frequency: str
    """Such as `weekly`."""
    interval_days: int
    quantity: int
    """Units per delivery."""
    estimated_annual_savings: float
    """Against the shelf price."""
    annual_cost: float
    """After the discount."""
    savings_vs_paid: SavingsVsPaid | None
    """None when nobody knows what the household paid."""
    cadence_probability: float
    """That of a purchase within 1.5 times the cadence, 0 to 1."""
    next_due_date: date
    first_delivery_date: date
    """When deliveries best begin, given the days that have passed and the chance that the need has ended."""
    reasons: tuple[str, ...]
    """For people, most important first."""
    cadence_change: str
    """For people, when a later next purchase would make the cadence longer; empty when not asked for, or never."""
    message: recommendation_service_pb2.Recommendation = field(repr=False, compare=False)


@dataclass(frozen=True)
class Suggestion:
    """An item that similar customers buy regularly: no offer, as the household's own purchases say too little."""

    name: str
    category: str
    score: float
    """0 to 1: the share of similar customers who buy it regularly is at least this."""
    count: int
    """Days on which the household itself bought it: 0, 1 or 2."""
    low_interval_days: float
    """Lower quartile of how often similar customers buy it."""
    high_interval_days: float
    """Upper quartile."""
    reasons: tuple[str, ...]
    """For people, most important first."""
    message: recommendation_service_pb2.Suggestion = field(repr=False, compare=False)


@dataclass(frozen=True)
class OmittedItem:
    """An item that was left out."""

    name: str
    code: str
    """For programs, such as `LOW_PROBABILITY`."""
    reason: str
    """For people."""


@dataclass(frozen=True)
class Warning:
    """What is missing from an answer, and why."""

    component: str
    code: str
    message: str


@dataclass(frozen=True)
class Result:
    """The recommendations, and what they rest on."""

    customer_id: str
    recommendation_id: str
    recommendations: tuple[Recommendation, ...]
    plan: Plan
    suggestions: tuple[Suggestion, ...]
    """Best first; empty unless asked for."""
    omitted: tuple[OmittedItem, ...]
    """By name; empty unless asked for."""
    near_misses: tuple[OmittedItem, ...]
    """When nothing is recommended, up to three items that came closest to it, the closest first."""
    warnings: tuple[Warning, ...]
    as_of: date
    seed: int
    """0 for a real history."""
    source: str
    """`embedded` or `sagemaker`."""
    month_count: int
    trip_count: int
    purchase_count: int
    item_count: int
    message: messages.ProcessResult = field(repr=False, compare=False)


@dataclass(frozen=True)
class ComponentStatus:
    """The state of one part."""

    name: str
    state: str
    """serving, unavailable or disabled."""
    required: bool
    latency_ms: float
    message: str


@dataclass(frozen=True)
class Status:
    """The state of the whole."""

    state: str
    """serving, degraded or unavailable."""
    components: tuple[ComponentStatus, ...]
    version: str


@dataclass(frozen=True)
class CategoryWeight:
    """The share of an archetype's purchases that fall into one category."""

    category: str
    weight_ratio: float
    """0 to 1."""


@dataclass(frozen=True)
class Archetype:
    """A kind of shopper that can be simulated."""

    id: str
    """What requests name it by."""
    display_name: str
    description: str
    mean_trip_gap_days: float
    mean_basket_items: float
    category_weights: tuple[CategoryWeight, ...]
    """Largest first; they sum to 1."""


@dataclass(frozen=True)
class Cadence:
    """A delivery interval that may be offered."""

    frequency: str
    """Such as `weekly`."""
    interval_days: int


@dataclass(frozen=True)
class ComponentConfig:
    """A part behind the pipeline."""

    name: str
    required: bool
    """No answer can be given without it."""
    enabled: bool


@dataclass(frozen=True)
class Config:
    """How the pipeline is set up."""

    version: str
    default_archetype: str
    default_simulation_months: int
    max_simulation_months: int
    max_items: int
    """In a first purchase."""
    max_history_rows: int
    components: tuple[ComponentConfig, ...]
    cadences: tuple[Cadence, ...]
    """Shortest first."""
    message: messages.GetConfigResponse = field(repr=False, compare=False)


Event = Started | MonthlyUpdate | Result


def event_of(message: messages.StreamProcessResponse) -> Event:
    """Value of whichever event a message holds."""
    if message.HasField("started"):
        started = message.started
        return Started(
            started.customer_id, started.month_count, started.seed, date.fromisoformat(started.as_of), started
        )
    if message.HasField("monthly_update"):
        update = message.monthly_update
        return MonthlyUpdate(
            month_display=update.month_display,
            progress=update.progress,
            month_number=update.month_number,
            month_count=update.month_count,
            trip_count=update.trip_count,
            purchase_count=update.purchase_count,
            total_spend=update.total_spend,
            total_savings=update.total_savings,
            message=update,
        )
    return result_of(message.completed)


def result_of(message: messages.ProcessResult) -> Result:
    """Value of a message."""
    summary = message.history_summary
    changes = {change.name: change.text for change in message.recommendations.cadence_changes}
    return Result(
        customer_id=message.customer_id,
        recommendation_id=message.recommendation_id,
        recommendations=tuple(
            _recommendation(item, changes.get(item.name, "")) for item in message.recommendations.recommendations
        ),
        plan=_plan(message.recommendations.plan),
        suggestions=tuple(_suggestion(item) for item in message.recommendations.suggestions),
        omitted=_omitted(message.recommendations.omitted),
        near_misses=_omitted(message.recommendations.near_misses),
        warnings=tuple(Warning(item.component, item.code, item.message) for item in message.warnings),
        as_of=date.fromisoformat(message.as_of),
        seed=message.seed,
        source=message.source,
        month_count=summary.month_count,
        trip_count=summary.trip_count,
        purchase_count=summary.purchase_count,
        item_count=summary.item_count,
        message=message,
    )


def _recommendation(message: recommendation_service_pb2.Recommendation, cadence_change: str) -> Recommendation:
    return Recommendation(
        name=message.name,
        category=message.category,
        confidence=message.confidence,
        count=message.count,
        avg_interval=message.avg_interval,
        frequency=message.subscription.frequency,
        interval_days=message.subscription.interval_days,
        quantity=message.subscription.quantity,
        estimated_annual_savings=message.subscription.estimated_annual_savings,
        annual_cost=message.subscription.annual_cost,
        savings_vs_paid=_savings_vs_paid(message.subscription),
        cadence_probability=message.cadence_probability,
        next_due_date=date.fromisoformat(message.next_due_date),
        first_delivery_date=date.fromisoformat(message.subscription.first_delivery_date),
        reasons=tuple(reason.text for reason in message.reasons),
        cadence_change=cadence_change,
        message=message,
    )


def _savings_vs_paid(message: recommendation_service_pb2.Subscription) -> SavingsVsPaid | None:
    if not message.HasField("savings_vs_paid"):
        return None
    savings = message.savings_vs_paid
    return SavingsVsPaid(
        expected=savings.expected_annual_savings,
        low=savings.low_annual_savings,
        high=savings.high_annual_savings,
        paid_unit_price=savings.paid_unit_price,
        subscription_unit_price=savings.subscription_unit_price,
        pays_less_today=savings.pays_less_today,
    )


def _omitted(items: Iterable[recommendation_service_pb2.OmittedItem]) -> tuple[OmittedItem, ...]:
    return tuple(OmittedItem(item.name, item.reason.code, item.reason.text) for item in items)


def _suggestion(message: recommendation_service_pb2.Suggestion) -> Suggestion:
    return Suggestion(
        name=message.name,
        category=message.category,
        score=message.score,
        count=message.count,
        low_interval_days=message.low_interval_days,
        high_interval_days=message.high_interval_days,
        reasons=tuple(reason.text for reason in message.reasons),
        message=message,
    )


def _plan(message: recommendation_service_pb2.SubscriptionPlan) -> Plan:
    honest = message.annual_savings_vs_paid if message.HasField("annual_savings_vs_paid") else None
    return Plan(message.item_count, message.annual_cost, message.estimated_annual_savings, honest)


def status_of(message: messages.GetStatusResponse) -> Status:
    """Value of a message."""
    return Status(
        state=_state_name(message.state),
        components=tuple(
            ComponentStatus(item.name, _state_name(item.state), item.required, item.latency_ms, item.message)
            for item in message.components
        ),
        version=message.version,
    )


def config_of(message: messages.GetConfigResponse) -> Config:
    """Value of a message."""
    return Config(
        version=message.version,
        default_archetype=message.default_archetype,
        default_simulation_months=message.default_simulation_months,
        max_simulation_months=message.max_simulation_months,
        max_items=message.max_items,
        max_history_rows=message.max_history_rows,
        components=tuple(ComponentConfig(item.name, item.required, item.enabled) for item in message.components),
        cadences=tuple(Cadence(item.frequency, item.interval_days) for item in message.cadences),
        message=message,
    )


def archetype_of(message: simulation_service_pb2.Archetype) -> Archetype:
    """Value of a message."""
    return Archetype(
        id=message.id,
        display_name=message.display_name,
        description=message.description,
        mean_trip_gap_days=message.mean_trip_gap_days,
        mean_basket_items=message.mean_basket_items,
        category_weights=tuple(CategoryWeight(item.category, item.weight_ratio) for item in message.category_weights),
    )


def _state_name(state: messages.ComponentState.ValueType) -> str:
    return messages.ComponentState.Name(state).removeprefix("COMPONENT_STATE_").lower()
