"""Messages of the history service ↔ core types."""

import base64
import binascii
import itertools
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from pantree.history.v1 import history_service_pb2 as messages
from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree_domain.days import calendar_day, day_number
from pantree_history.core.history import Counts
from pantree_history.core.lines import MICROSECONDS, Line, LineKey, Revision
from pantree_history.core.purchases import Purchases
from pantree_history.core.store import Corrected, Erasure, HouseholdState, StoredLines, StoredRevisions
from pantree_runtime.errors import FieldViolation, InvalidInput

# About 1 MiB at most, well below the limit of a message.
_EXPORT_BATCH = 500


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
    after = _read_token(token, (int, str, str)) if token else None
    rest = stored.lines if after is None else [line for line in stored.lines if _position(line) > after]
    page = rest[:size]
    return messages.ListPurchasesResponse(
        purchases=[_line_message(line) for line in page],
        next_page_token=_token(*_position(page[-1])) if len(rest) > size else "",
        history_version=stored.state.version,
    )


def _position(line: Line) -> tuple[int, str, str]:
    return line.occurred_on, line.order_id, line.line_id


def customer_after(token: str) -> str:
    """Id after which a page of customers begins.

    Raises:
        InvalidInput: the token is not one of ours.
    """
    return str(_read_token(token, (str,))[0]) if token else ""


def customers_page(states: Sequence[HouseholdState], size: int) -> messages.ListCustomersResponse:
    """A page of customers, from one more than its size, if there are that many."""
    return messages.ListCustomersResponse(
        customers=[_customer(state) for state in states[:size]],
        next_page_token=_token(states[size - 1].household_id) if len(states) > size else "",
    )


def export_responses(stored: StoredRevisions) -> Iterator[messages.ExportCustomerResponse]:
    yield messages.ExportCustomerResponse(customer=_customer(stored.state))
    revisions = iter(stored.revisions)
    while batch := [_stored_line(one) for one in itertools.islice(revisions, _EXPORT_BATCH)]:
        yield messages.ExportCustomerResponse(stored_lines=messages.StoredLines(lines=batch))


def erase_response(entry: Erasure, removed: int) -> messages.EraseCustomerResponse:
    return messages.EraseCustomerResponse(
        erased_at=time_text(entry.erased_at), removed_line_count=removed, ledger_entry_id=entry.digest.hex()
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
    )


def _line_message(line: Line) -> messages.PurchaseLine:
    values = line._asdict()
    values["date"] = calendar_day(values.pop("occurred_on")).isoformat()
    return messages.PurchaseLine(**values)


def time_text(instant: int) -> str:
    """ISO 8601 in UTC of microseconds since 1970-01-01."""
    seconds, micros = divmod(instant, MICROSECONDS)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _token(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _read_token(token: str, kinds: tuple[type, ...]) -> tuple[object, ...]:
    try:
        values = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError):
        values = None
    if not isinstance(values, list) or [type(value) for value in values] != list(kinds):
        text = "must be next_page_token of the previous page, or empty"
        raise InvalidInput([FieldViolation("page_token", text)])
    return tuple(values)
