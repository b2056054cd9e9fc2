"""Rules that the contract cannot express because they compare fields."""

from collections.abc import Iterable, Mapping

from pantree.history.v1 import history_service_pb2 as messages
from pantree.subscription.v1 import subscription_service_pb2 as subscriptions
from pantree.subscription.v1 import webhook_service_pb2 as webhooks
from pantree_history.core.lines import WEIGHT_UNITS
from pantree_history.core.subscriptions.schedule import zone_of
from pantree_history.texts import read_instant
from pantree_runtime.purchase_columns import HALF_A_CENT
from pantree_runtime.validation import Rule, Violations


def check_append(request: messages.AppendPurchasesRequest, violations: Violations) -> None:
    """Checks lines to store."""
    _check_lines(request.purchases, violations)


def check_correct(request: messages.CorrectPurchasesRequest, violations: Violations) -> None:
    """Checks corrections."""
    if not request.purchases and not request.removed:
        violations.add("purchases", "is required, or removed: name at least one line")
    _check_lines(request.purchases, violations)
    replaced = {(line.order_id, line.line_id) for line in request.purchases}
    for at, key in enumerate(request.removed):
        if (key.order_id, key.line_id) in replaced:
            violations.add(f"removed[{at}]", "must not also be in purchases")


def check_merge(request: messages.MergeCustomersRequest, violations: Violations) -> None:
    """Checks that there are two ids."""
    if request.merged_customer_id == request.customer_id:
        violations.add("merged_customer_id", "must differ from customer_id")


def check_import(request: messages.ImportPurchasesRequest, violations: Violations) -> None:
    """Checks the lengths of columns, and positions in dictionaries."""
    rows, items = len(request.days), len(request.item_names)
    for name in ("customer_indices", "item_indices", "order_ids", "line_ids", "quantities"):
        if len(getattr(request, name)) != rows:
            violations.add(name, f"must have one element for each of the {rows:,} days")
    for name in ("prices", "savings"):
        if len(getattr(request, name)) not in (0, rows):
            violations.add(name, f"must have one element for each of the {rows:,} days, or none")
    for name in ("item_categories", "item_ids", "item_variants"):
        if len(getattr(request, name)) not in (0, items):
            violations.add(name, f"must have one element for each of the {items:,} item_names, or none")
    for name, dictionary in (("customer_indices", request.customer_ids), ("item_indices", request.item_names)):
        indices = getattr(request, name)
        if indices and max(indices) >= len(dictionary):
            violations.add(name, f"must be positions in a dictionary of {len(dictionary):,}; one is {max(indices):,}")


def _check_lines(lines: Iterable[messages.PurchaseLine], violations: Violations) -> None:
    seen: dict[tuple[str, str], int] = {}
    for at, line in enumerate(lines):
        path = f"purchases[{at}]"
        first = seen.setdefault((line.order_id, line.line_id), at)
        if first != at:
            violations.add(
                f"{path}.line_id", f"must differ from that of purchases[{first}], which has the same order_id"
            )
        if line.saving:
            full_price = line.price * (line.quantity if line.HasField("quantity") else 1)
            if line.saving > full_price + HALF_A_CENT:
                violations.add(
                    f"{path}.saving", f"must be at most price × quantity, {full_price:,g}; is {line.saving:,g}"
                )
        if line.HasField("weight") != bool(line.weight_unit):
            violations.add(f"{path}.weight_unit", "must be given with a weight, and only then")
        elif line.weight_unit and line.weight_unit not in WEIGHT_UNITS:
            violations.add(f"{path}.weight_unit", f"must be one of {', '.join(WEIGHT_UNITS)}")
        if bool(line.returned_order_id) != bool(line.returned_line_id):
            violations.add(f"{path}.returned_line_id", "must be given with returned_order_id, and only then")


def _check_interval(interval: subscriptions.DeliveryInterval, path: str, violations: Violations) -> None:
    if not interval.unit:
        violations.add(f"{path}.unit", "is required")


def check_create_offer(request: subscriptions.CreateOfferRequest, violations: Violations) -> None:
    """Checks that the interval has a unit."""
    _check_interval(request.interval, "interval", violations)


def check_create_subscription(request: subscriptions.CreateSubscriptionRequest, violations: Violations) -> None:
    """Checks what is taken from an offer, the interval and the time zone."""
    if request.HasField("interval"):
        _check_interval(request.interval, "interval", violations)
    if not request.offer_id:
        for name in ("item", "interval"):
            if not request.HasField(name):
                violations.add(name, "is required without an offer_id")
    if request.time_zone and zone_of(request.time_zone) is None:
        violations.add("time_zone", "must be an IANA name such as Europe/Berlin")


def check_change_subscription(request: subscriptions.ChangeSubscriptionRequest, violations: Violations) -> None:
    """Checks that there is a lever, and the unit of a new interval."""
    if request.HasField("change_interval"):
        _check_interval(request.change_interval.interval, "change_interval.interval", violations)
    if request.WhichOneof("lever") is None:
        names = ", ".join(one.name for one in request.DESCRIPTOR.oneofs_by_name["lever"].fields)
        violations.add("lever", f"is required: send one of {names}")


def check_record_delivery(request: subscriptions.RecordDeliveryRequest, violations: Violations) -> None:
    """Checks that a report has what it needs, and nothing else."""
    report = request.report
    if not report:
        violations.add("report", "is required")
    if report == subscriptions.DELIVERY_REPORT_RETURNED and not request.HasField("quantity"):
        violations.add("quantity", "is required for a return")
    if (report == subscriptions.DELIVERY_REPORT_SUBSTITUTED) != request.HasField("item"):
        violations.add("item", "must be given for a substitute, and only then")
    counted = (subscriptions.DELIVERY_REPORT_DELIVERED, subscriptions.DELIVERY_REPORT_RETURNED)
    if request.HasField("quantity") and report not in counted:
        violations.add("quantity", "must be absent, because this report has none")


def check_replay_webhook(request: webhooks.ReplayWebhookRequest, violations: Violations) -> None:
    """Checks the instant."""
    if request.since and read_instant(request.since) is None:
        violations.add("since", "must be an instant with its offset, such as 2026-05-22T00:00:00Z")


def check_record_engine_event(request: subscriptions.RecordEngineEventRequest, violations: Violations) -> None:
    """Checks the engine and the time zone."""
    if not request.engine:
        violations.add("engine", "is required")
    if request.time_zone and zone_of(request.time_zone) is None:
        violations.add("time_zone", "must be an IANA name such as Europe/Berlin")


RULES: Mapping[str, Rule] = {
    "AppendPurchases": check_append,
    "CorrectPurchases": check_correct,
    "ImportPurchases": check_import,
    "CreateOffer": check_create_offer,
    "MergeCustomers": check_merge,
    "CreateSubscription": check_create_subscription,
    "ChangeSubscription": check_change_subscription,
    "RecordDelivery": check_record_delivery,
    "ReplayWebhook": check_replay_webhook,
    "RecordEngineEvent": check_record_engine_event,
}
"""By RPC name."""
