"""Reasons for recommending or omitting an item: a stable code, values, and a text made from them."""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pantree_domain.money import CENT_DIGITS
from pantree_recommendation.core.texts import DEFAULT_LANGUAGE, load_texts


class ReasonCode(enum.StrEnum):
    """Codes of reasons. The meaning of a code never changes."""

    BOUGHT_REGULARLY = "BOUGHT_REGULARLY"
    BOUGHT_REPEATEDLY = "BOUGHT_REPEATEDLY"
    DUE_NOW = "DUE_NOW"
    BOUGHT_MORE_OFTEN = "BOUGHT_MORE_OFTEN"
    CADENCE_LENGTHENED = "CADENCE_LENGTHENED"
    WHOLE_PACKS = "WHOLE_PACKS"
    SEASONAL = "SEASONAL"
    SAVES_MONEY = "SAVES_MONEY"
    SAVES_VS_PAID = "SAVES_VS_PAID"
    LIKELY_BOUGHT_AGAIN = "LIKELY_BOUGHT_AGAIN"
    CADENCE_BY_RISK = "CADENCE_BY_RISK"
    STOCK_AT_HOME = "STOCK_AT_HOME"
    KEEPS_FOR_MONTHS = "KEEPS_FOR_MONTHS"
    SHELF_PRICE_ONLY = "SHELF_PRICE_ONLY"

    BOUGHT_BY_SIMILAR_CUSTOMERS = "BOUGHT_BY_SIMILAR_CUSTOMERS"
    KEPT_BY_SIMILAR_CUSTOMERS = "KEPT_BY_SIMILAR_CUSTOMERS"
    BOUGHT_TOGETHER = "BOUGHT_TOGETHER"

    TOO_FEW_PURCHASES = "TOO_FEW_PURCHASES"
    NOT_SUBSCRIBABLE = "NOT_SUBSCRIBABLE"
    GOODS_NEVER_OFFERED = "GOODS_NEVER_OFFERED"
    GOODS_OPT_IN = "GOODS_OPT_IN"
    GOODS_UNCERTAIN = "GOODS_UNCERTAIN"
    NO_PRICE = "NO_PRICE"
    OUT_OF_SEASON = "OUT_OF_SEASON"
    SEASON_ENDS = "SEASON_ENDS"
    EATEN_FRESH = "EATEN_FRESH"
    REPLACED = "REPLACED"
    NEED_LATE = "NEED_LATE"
    NEED_PAUSED = "NEED_PAUSED"
    NEED_ENDED = "NEED_ENDED"
    NEED_SWITCHED = "NEED_SWITCHED"
    INTERVAL_TOO_LONG = "INTERVAL_TOO_LONG"
    LOW_PROBABILITY = "LOW_PROBABILITY"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    CATEGORY_FULL = "CATEGORY_FULL"
    OUTRANKED = "OUTRANKED"

    MORE_EXPENSIVE = "MORE_EXPENSIVE"
    EXCLUDED_BY_HOUSEHOLD = "EXCLUDED_BY_HOUSEHOLD"
    ABOVE_PRICE_LIMIT = "ABOVE_PRICE_LIMIT"
    OVER_BUDGET = "OVER_BUDGET"
    TOO_MANY_BOXES = "TOO_MANY_BOXES"
    SAVES_TOO_LITTLE = "SAVES_TOO_LITTLE"
    NO_DELIVERY_DAY = "NO_DELIVERY_DAY"
    NOT_WORTH_A_BOX = "NOT_WORTH_A_BOX"
    NO_COMMON_PLAN = "NO_COMMON_PLAN"

    REVIEW_ACCEPTED = "REVIEW_ACCEPTED"
    REVIEW_TOO_EARLY = "REVIEW_TOO_EARLY"
    REVIEW_NO_PATTERN = "REVIEW_NO_PATTERN"
    REVIEW_PAUSED = "REVIEW_PAUSED"
    REVIEW_OTHER_ITEM = "REVIEW_OTHER_ITEM"
    REVIEW_SKIPPED_ALL = "REVIEW_SKIPPED_ALL"
    REVIEW_BOUGHT_ANYWAY = "REVIEW_BOUGHT_ANYWAY"
    REVIEW_AWAY = "REVIEW_AWAY"
    REVIEW_TOO_MUCH = "REVIEW_TOO_MUCH"
    REVIEW_RETURNED = "REVIEW_RETURNED"
    REVIEW_STOCK_AT_HOME = "REVIEW_STOCK_AT_HOME"
    REVIEW_TOO_LITTLE = "REVIEW_TOO_LITTLE"


class Reason(NamedTuple):
    """A reason with its values by name."""

    code: ReasonCode
    values: Mapping[str, float]
    other_item: str = ""
    """Name of another item that the text mentions; empty for most reasons."""
    goods_type: str = ""
    """Id of the type of goods that the reason follows from; empty for most reasons."""
    label: Mapping[str, str] = MappingProxyType({})
    """How the text names these goods, by language; empty for most reasons."""
    digits: int = CENT_DIGITS
    """Decimal places of amounts in the text."""

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        goods = self.label.get(DEFAULT_LANGUAGE, "")
        return load_texts().text(self.code, self.values, other_item=self.other_item, goods=goods, digits=self.digits)
