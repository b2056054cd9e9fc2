"""Which lines of a history are the same item, and what the retailer calls it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from pantree_domain.item_key import item_key
from pantree_domain.limits import MAX_NAME_CHARACTERS
from pantree_domain.purchases import PurchaseHistory, fold_items, latest_labels


class ItemIdentity(NamedTuple):
    """What the retailer calls an item."""

    name: str
    item_id: str = ""
    """Opaque; empty when unknown."""
    variant: str = ""
    """Empty when there is none."""


def identified_items(
    history: PurchaseHistory, identities: Sequence[ItemIdentity]
) -> tuple[PurchaseHistory, Mapping[str, ItemIdentity]]:
    """The history with one dictionary entry per item and a distinct name for each; and what those names stand for.

    Entries with the same id and variant are the same item, whatever their names. Entries without an id are the same
    item if they have the same name, apart from spelling, and variant; such an entry is also the item with an id of the
    same name and variant, if there is only one. An item gets the spelling of its latest line. The variant or id is
    added to names that several items have.

    Args:
        history: names of its dictionary may repeat.
        identities: for each entry of the dictionary.
    """
    if not any(one.item_id or one.variant for one in identities):
        return fold_items(history), {}
    by_name = [(item_key(one.name), item_key(one.variant)) for one in identities]
    ids_of_name: dict[tuple[str, str], set[str]] = {}
    for name, one in zip(by_name, identities, strict=True):
        if one.item_id:
            ids_of_name.setdefault(name, set()).add(one.item_id)
    positions: dict[tuple[str, ...], int] = {}
    entry_positions = []
    for name, one in zip(by_name, identities, strict=True):
        ids = ids_of_name.get(name, set())
        item_id = one.item_id or (next(iter(ids)) if len(ids) == 1 else "")
        key = ("id", item_id, name[1]) if item_id else ("name", *name)
        entry_positions.append(positions.setdefault(key, len(positions)))
    items = [
        ItemIdentity(*labels)
        for labels in zip(
            *(latest_labels(history, entry_positions, column) for column in zip(*identities, strict=True)), strict=True
        )
    ]
    names = _distinct_names(items)
    folded = replace(
        history,
        item_names=tuple(names),
        item_categories=latest_labels(history, entry_positions, history.item_categories),
        item_indices=np.array(entry_positions, np.int32)[history.item_indices],
    )
    return folded, dict(zip(names, items, strict=True))


def _distinct_names(items: Sequence[ItemIdentity]) -> list[str]:
    """A name for each item, distinct apart from spelling: its own if no other item has it."""
    counts = Counter(item_key(item.name) for item in items)
    taken: set[str] = {item_key(item.name) for item in items if counts[item_key(item.name)] == 1}
    names = []
    for item in items:
        name = item.name
        if counts[item_key(name)] > 1:
            number = 1
            detail = item.variant or item.item_id
            name = _with_detail(item.name, detail) if detail else item.name
            while item_key(name) in taken:
                number += 1
                name = _with_detail(item.name, f"{item.item_id or detail} {number}".strip())
            taken.add(item_key(name))
        names.append(name)
    return names


def _with_detail(name: str, detail: str) -> str:
    ending = f" ({detail[: MAX_NAME_CHARACTERS // 2]})"
    return name[: MAX_NAME_CHARACTERS - len(ending)] + ending
