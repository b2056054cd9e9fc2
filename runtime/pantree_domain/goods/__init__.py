"""Types of goods with rules of their own: what is never offered, discounted or suggested, as data with reasons."""

from pantree_domain.goods.policy import (
    BUNDLED_GOODS,
    GoodsMatch,
    GoodsPolicy,
    GoodsType,
    Offering,
    load_goods_policy,
    read_goods,
)

__all__ = [
    "BUNDLED_GOODS",
    "GoodsMatch",
    "GoodsPolicy",
    "GoodsType",
    "Offering",
    "load_goods_policy",
    "read_goods",
]
