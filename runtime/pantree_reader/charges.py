"""Lines of receipts that are no goods: fees, tips, deposits, taxes, gift cards; and names of discounts and sums."""

import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources

from pantree_domain.goods import load_goods_policy
from pantree_domain.item_key import item_key

# Types of goods that are money in another form.
_MONEY = frozenset({"gift_cards"})


@functools.cache
def _data() -> Mapping[str, frozenset[str]]:
    text = resources.files(__package__).joinpath("words.toml").read_text("utf-8")
    return {name: frozenset(words) for name, words in tomllib.loads(text).items()}


def is_charge(name: str, category: str) -> bool:
    """Whether a line of this name is a charge and not goods, by the policy for goods."""
    match = load_goods_policy().match(name, category)
    return match is not None and match.certain and (not match.goods.merchandise or match.goods.id in _MONEY)


def names_discount(name: str) -> bool:
    """Whether a name is that of a discount."""
    return not _data()["discounts"].isdisjoint(_words(name))


def is_total(name: str) -> bool:
    """Whether a name is that of a sum below the purchases."""
    words = _words(name)
    return bool(words) and _data()["totals"].issuperset(words)


def _words(name: str) -> list[str]:
    return re.sub(r"[\W\d_]+", " ", item_key(name)).split()
