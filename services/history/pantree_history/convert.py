"""Messages of the history service ↔ core types."""

import itertools
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from pantree.history.v1 import history_service_pb2 as messages
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.days import calendar_day, day_number
from pantree_history.core.history import Counts, Retention
from pantree_history.core.lines import Line, LineKey, Revision
from pantree_history.core.purchases import Purchases
from pantree_history.core.store import (
    Changes,
    Corrected,
    Erased,
    HouseholdState,
    LineOf,
    Merge,
    Merged,
    Outcome,
    StoredLines,
    StoredRevisions,
)
from pantree_history.core.subscriptions.keeper import View
from pantree_history.core.subscriptions.model import HouseholdPause, Offer
from pantree_history.core.subscriptions.store import StoredEvents
from pantree_history.pages import fitting
from pantree_history.subscriptions import convert as subscriptions_convert
from pantree_history.texts import page_token, read_page_token, time_text
from pantree_runtime.errors import AlreadyExists, CustomerErased, InvalidInput
from pantree_runtime.purchase_columns import HALF_A_CENT

# About 1 MiB at most, well below the limit of a message.
_EXPORT_BATCH = 500
_MAX_REJECTED = 1000
# Bounds of a PurchaseLine.
_MAX_QUANTITY = 10_000
_MAX_PRICE = 1_000_000
_REFUSALS = {
    Outcome.CONFLICT: (AlreadyExists.reason, "other content, or another customer, is stored under this order and line"),
    Outcome.ERASED: (CustomerErased.reason, "the customer was erased"),
}


class Rejection(NamedTuple):
    """A row that cannot be stored."""

    row: int
    code: str
    message: str


def lines_of(purchases: Sequence[messages.PurchaseLine]) -> list[Line]:
    return [
        Line(
            order_id=one.order_id,
            line_id=one.line_id,
            occurred_on=day_number(date.fromisoformat(one.date)),
            name=one.name,
            category=one.category,
            item_id=one.item_id,
            variant=one.variant,
            quantity=one.quantity if one.HasField("quantity") else 1,
            price=one.price if one.HasField("price") else None,
            saving=one.saving,
            currency_code=one.currency_code,
            weight=one.weight if one.HasField("weight") else None,
            weight_unit=one.weight_unit,
            returned_order_id=one.returned_order_id,
            returned_line_id=one.returned_line_id,
            recommendation_id=one.recommendation_id,
        )
        for one in purchases
    ]


def import_rows(
    request: messages.ImportPurchasesRequest, kept_days: range
) -> tuple[list[LineOf], list[int], list[Rejection]]:
    """The rows that can be stored, their positions in the import, and the rejected ones.

    Args:
        request: a batch, within the bounds of the contract.
        kept_days: the days that are accepted.
    """
    count, none = len(request.days), [""] * len(request.item_names)
    items = list(
        zip(
            request.item_names,
            request.item_categories or none,
            request.item_ids or none,
            request.item_variants or none,
            strict=True,
        )
    )
    prices: list[float | None] = [*request.prices] or [None] * count
    savings = request.savings[:] or [0.0] * count
    columns = (
        request.customer_indices,
        request.order_ids,
        request.line_ids,
        request.days,
        request.item_indices,
        request.quantities,
        prices,
        savings,
    )
    rows: list[LineOf] = []
    positions: list[int] = []
    rejected: list[Rejection] = []
    for at, row in enumerate(zip(*columns, strict=True), request.first_row):
        customer, order_id, line_id, day, item, quantity, price, saving = row
        problem = _row_problem(day, kept_days, quantity, price, saving)
        if problem:
            rejected.append(Rejection(at, InvalidInput.reason, problem))
            continue
        name, category, item_id, variant = items[item]
        line = Line(
            order_id, line_id, day, name, category, item_id, variant, quantity, price, saving, request.currency_code
        )
        rows.append(LineOf(request.customer_ids[customer], line))
        positions.append(at)
    return rows, positions, rejected


def _row_problem(day: int, kept_days: range, quantity: int, price: float | None, saving: float) -> str:
    if day not in kept_days:
        text, limit = ("after", kept_days[-1]) if day > kept_days[-1] else ("before", kept_days[0])
        why = "" if text == "after" else ", because older purchases are not kept"
        return f"the day must not be {text} {calendar_day(limit).isoformat()}{why}; is {calendar_day(day).isoformat()}"
    if not 1 <= quantity <= _MAX_QUANTITY:
        return f"the quantity must be 1 to {_MAX_QUANTITY:,}; is {quantity:,}"
    if price is not None and not 0 <= price <= _MAX_PRICE:
        return f"the price must be 0 to {_MAX_PRICE:,}; is {price:,g}"
    if not 0 <= saving <= (price or 0.0) * quantity + HALF_A_CENT:
        return f"the saving must be 0 to price × quantity, {(price or 0.0) * quantity:,g}; is {saving:,g}"
    return ""


def import_response(
    request: messages.ImportPurchasesRequest,
    positions: Sequence[int],
    outcomes: Sequence[Outcome],
    rejected: Sequence[Rejection],
) -> messages.ImportPurchasesResponse:
    refused = [
        Rejection(at, *_REFUSALS[outcome])
        for at, outcome in zip(positions, outcomes, strict=True)
        if outcome in _REFUSALS
    ]
    found = sorted((*rejected, *refused))
    return messages.ImportPurchasesResponse(
        next_row=request.first_row + len(request.days),
        added_count=sum(outcome is Outcome.ADDED for outcome in outcomes),
        duplicate_count=sum(outcome is Outcome.DUPLICATE for outcome in outcomes),
        rejected_count=len(found),
        rejected=[messages.RejectedRow(row=row, code=code, message=text) for row, code, text in found[:_MAX_REJECTED]],
    )


def changes_since(since: str) -> tuple[int, int]:
    """Position after which changes are wanted.

    Raises:
        InvalidInput: it is not one of ours.
    """
    if not since:
        return 0, 0
    first, second = read_page_token(since, (int, int), "since", "next_since of an earlier response")
    assert isinstance(first, int)
    assert isinstance(second, int)
    return first, second


def changes_response(changes: Changes) -> messages.ListChangedResponse:
    return messages.ListChangedResponse(
        customers=[_customer(state) for state in changes.states], next_since=page_token(*changes.position)
    )


def bucket_response(state: HouseholdState, purchases: Purchases) -> messages.StreamHistoriesResponse:
    return messages.StreamHistoriesResponse(customer_id=state.household_id, history=history_response(state, purchases))


def keys_of(keys: Sequence[messages.LineKey]) -> list[LineKey]:
    return [LineKey(key.order_id, key.line_id) for key in keys]


def day_or_none(text: str) -> int | None:
    return day_number(date.fromisoformat(text)) if text else None


def append_response(counts: Counts) -> messages.AppendPurchasesResponse:
    return messages.AppendPurchasesResponse(
        customer_id=counts.state.household_id,
        added_count=counts.added,
        duplicate_count=counts.duplicates,
        history_version=counts.state.version,
    )


def correct_response(corrected: Corrected) -> messages.CorrectPurchasesResponse:
    return messages.CorrectPurchasesResponse(
        corrected_count=corrected.corrected_count,
        removed_count=corrected.removed_count,
        history_version=corrected.state.version,
    )


def history_response(state: HouseholdState, purchases: Purchases) -> messages.GetHistoryResponse:
    return messages.GetHistoryResponse(
        purchases=_columns(purchases),
        history_version=state.version,
        omitted_count=purchases.omitted_count,
        currency_code=purchases.currency_code,
    )


def _columns(purchases: Purchases) -> PurchaseColumns:
    names, categories, item_ids, variants = zip(*purchases.items, strict=True) if purchases.items else ((), (), (), ())
    prices = [line.price for line in purchases.lines]
    return PurchaseColumns(
        item_names=names,
        item_categories=categories,
        item_ids=item_ids,
        item_variants=variants,
        item_indices=purchases.indices,
        days=[line.occurred_on for line in purchases.lines],
        quantities=purchases.quantities,
        prices=[] if all(price is None for price in prices) else [price or 0.0 for price in prices],
        savings=[] if all(price is None for price in prices) else purchases.savings,
    )


def purchases_page(stored: StoredLines, size: int, token: str) -> messages.ListPurchasesResponse:
    """A page of lines.

    Raises:
        InvalidInput: the token is not one of ours.
    """
    after = read_page_token(token, (int, str, str)) if token else None
    rest = stored.lines if after is None else [line for line in stored.lines if _position(line) > after]
    page = fitting([_line_message(line) for line in rest[:size]])
    return messages.ListPurchasesResponse(
        purchases=page,
        next_page_token=page_token(*_position(rest[len(page) - 1])) if len(rest) > len(page) else "",
        history_version=stored.state.version,
    )


def _position(line: Line) -> tuple[int, str, str]:
    return line.occurred_on, line.order_id, line.line_id


def customer_after(token: str) -> str:
    """Id after which a page of customers begins.

    Raises:
        InvalidInput: the token is not one of ours.
    """
    return str(read_page_token(token, (str,))[0]) if token else ""


def customers_page(states: Sequence[HouseholdState], size: int) -> messages.ListCustomersResponse:
    """A page of customers, from one more than its size, if there are that many."""
    return messages.ListCustomersResponse(
        customers=[_customer(state) for state in states[:size]],
        next_page_token=page_token(states[size - 1].household_id) if len(states) > size else "",
    )


def export_responses(
    stored: StoredRevisions | None,
    offers: Sequence[Offer],
    subscriptions: Sequence[tuple[View, StoredEvents]],
    merges: Sequence[Merge],
    pause: HouseholdPause | None,
) -> Iterator[messages.ExportCustomerResponse]:
    if stored is not None:
        yield messages.ExportCustomerResponse(customer=_customer(stored.state))
        revisions = iter(stored.revisions)
        while batch := [_stored_line(one) for one in itertools.islice(revisions, _EXPORT_BATCH)]:
            yield messages.ExportCustomerResponse(stored_lines=messages.StoredLines(lines=batch))
    for offer in offers:
        yield messages.ExportCustomerResponse(stored_offer=subscriptions_convert.offer_message(offer))
    for view, events in subscriptions:
        for message in subscriptions_convert.stored_messages(view, events):
            yield messages.ExportCustomerResponse(stored_subscription=message)
    for merge in merges:
        yield messages.ExportCustomerResponse(
            stored_merge=messages.StoredMerge(
                merged_customer_id=merge.household_id,
                customer_id=merge.merged_into,
                merged_at=time_text(merge.merged_at),
                actor=merge.actor,
                moved_line_count=merge.moved_line_count,
            )
        )
    if pause is not None:
        yield messages.ExportCustomerResponse(stored_household_pause=subscriptions_convert.pause_message(pause))


def merge_response(merged: Merged) -> messages.MergeCustomersResponse:
    return messages.MergeCustomersResponse(
        customer_id=merged.surviving_id,
        merged_at=time_text(merged.merge.merged_at),
        moved_line_count=merged.merge.moved_line_count if merged.is_new else 0,
        moved_offer_count=merged.moved_offer_count,
        moved_subscription_count=merged.moved_subscription_count,
        history_version="" if merged.state is None else merged.state.version,
    )


def retention_response(retention: Retention) -> messages.ApplyRetentionResponse:
    expired, first_day = retention.expired, retention.first_day
    return messages.ApplyRetentionResponse(
        retention_days=retention.days,
        first_kept_date="" if first_day is None else calendar_day(first_day).isoformat(),
        removed_line_count=expired.revision_count,
        changed_customer_count=expired.household_count,
        removed_customer_count=expired.removed_household_count,
        applied_at=time_text(retention.applied_at),
    )


def erase_response(erased: Erased) -> messages.EraseCustomerResponse:
    return messages.EraseCustomerResponse(
        erased_at=time_text(erased.entry.erased_at),
        removed_line_count=erased.removed_count,
        ledger_entry_id=erased.entry.digest.hex(),
        merged_customer_ids=erased.other_ids,
    )


def _stored_line(revision: Revision) -> messages.StoredLine:
    return messages.StoredLine(
        purchase=_line_message(revision.line),
        revision=revision.revision,
        recorded_at=time_text(revision.recorded_at),
        superseded_at="" if revision.superseded_at is None else time_text(revision.superseded_at),
    )


def _customer(state: HouseholdState) -> messages.StoredCustomer:
    return messages.StoredCustomer(
        customer_id=state.household_id,
        line_count=state.line_count,
        history_version=state.version,
        changed_at=time_text(state.changed_at),
        merged_into=state.merged_into,
    )


def _line_message(line: Line) -> messages.PurchaseLine:
    values = line._asdict()
    values["date"] = calendar_day(values.pop("occurred_on")).isoformat()
    return messages.PurchaseLine(**values)
