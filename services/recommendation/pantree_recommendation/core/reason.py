"""Reasons for recommending or omitting an item: a stable code, values, and a text made from them."""

import enum
from collections.abc import Mapping
from typing import NamedTuple

from pantree_domain.goods import GoodsType
from pantree_domain.money import CENT_DIGITS


class ReasonCode(enum.StrEnum):
    """Codes of reasons. The meaning of a code never changes."""

    BOUGHT_REGULARLY = "BOUGHT_REGULARLY"
    BOUGHT_REPEATEDLY = "BOUGHT_REPEATEDLY"
    DUE_NOW = "DUE_NOW"
    BOUGHT_MORE_OFTEN = "BOUGHT_MORE_OFTEN"
    CADENCE_LENGTHENED = "CADENCE_LENGTHENED"
    SAVES_MONEY = "SAVES_MONEY"
    SAVES_VS_PAID = "SAVES_VS_PAID"
    PAYS_LESS_TODAY = "PAYS_LESS_TODAY"
    LIKELY_BOUGHT_AGAIN = "LIKELY_BOUGHT_AGAIN"
    CADENCE_BY_RISK = "CADENCE_BY_RISK"
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
    NEED_LATE = "NEED_LATE"
    NEED_PAUSED = "NEED_PAUSED"
    NEED_ENDED = "NEED_ENDED"
    NEED_SWITCHED = "NEED_SWITCHED"
    INTERVAL_TOO_LONG = "INTERVAL_TOO_LONG"
    LOW_PROBABILITY = "LOW_PROBABILITY"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    CATEGORY_FULL = "CATEGORY_FULL"
    OUTRANKED = "OUTRANKED"


# Filled with the reason's own values, so that text and numbers cannot disagree.
_TEXTS = {
    ReasonCode.BOUGHT_REGULARLY: "Bought on {purchase_count:.0f} days at regular intervals of about "
    "{mean_interval_days:.1f} days.",
    ReasonCode.BOUGHT_REPEATEDLY: "Bought on {purchase_count:.0f} days, every {mean_interval_days:.1f} days on "
    "average, though the intervals vary.",
    ReasonCode.DUE_NOW: "Expected to be needed by now; days overdue: {overdue_days:.0f}.",
    ReasonCode.BOUGHT_MORE_OFTEN: "The intervals are getting shorter.",
    ReasonCode.CADENCE_LENGTHENED: "Every {interval_days:.0f} days instead of every {supported_interval_days:.0f}: so "
    "far there are only {purchase_count:.0f} purchases, and such items are typically bought every "
    "{suggested_interval_days:.0f} days.",
    ReasonCode.SAVES_MONEY: "Saves about {estimated_annual_savings:.2f} a year compared with the shelf price.",
    ReasonCode.SAVES_VS_PAID: "Saves about {expected_annual_savings:.2f} a year compared with the "
    "{paid_unit_price:.2f} per unit you have paid so far, promotions included; most years "
    "{low_annual_savings:.2f} to {high_annual_savings:.2f}.",
    ReasonCode.PAYS_LESS_TODAY: "You already pay less: {paid_unit_price:.2f} per unit on average, promotions included; "
    "the subscription price is {subscription_unit_price:.2f}.",
    ReasonCode.LIKELY_BOUGHT_AGAIN: "Bought again within {days:.0f} days with a probability of "
    "{cadence_probability:.0%}.",
    ReasonCode.CADENCE_BY_RISK: "Every {interval_days:.0f} days: {overstock_ratio:.0%} of the deliveries would come "
    "before they are needed, and the risk of running out at least once in 84 days is {stockout_probability:.0%}.",
    ReasonCode.KEEPS_FOR_MONTHS: "Keeps for months, so an early delivery does little harm.",
    ReasonCode.BOUGHT_BY_SIMILAR_CUSTOMERS: "Bought regularly by {regular_buyer_count:.0f} of the "
    "{neighbor_count:.0f} customers most like you; you have not bought it yet.",
    ReasonCode.KEPT_BY_SIMILAR_CUSTOMERS: "Of the {buyer_count:.0f} customers like you who bought it, "
    "{regular_buyer_count:.0f} now buy it regularly; days on which you have bought it so far: {purchase_count:.0f}.",
    ReasonCode.BOUGHT_TOGETHER: "Of the {buyer_count:.0f} customers like you who buy {other_item}, {regular_count:.0f} "
    "buy this regularly.",
    ReasonCode.TOO_FEW_PURCHASES: "Days with a purchase: {purchase_count:.0f}; at least {min_purchases:.0f} are needed "
    "to judge it.",
    ReasonCode.NOT_SUBSCRIBABLE: "Its category is not delivered by subscription.",
    ReasonCode.SHELF_PRICE_ONLY: "Delivered at the shelf price: there are no discounts on {goods}.",
    ReasonCode.GOODS_NEVER_OFFERED: "We don't deliver {goods} by subscription.",
    ReasonCode.GOODS_OPT_IN: "This shop doesn't deliver {goods} by subscription.",
    ReasonCode.GOODS_UNCERTAIN: "We don't know this item, and it looks like {goods}, so we left it out.",
    ReasonCode.NO_PRICE: "It had no price on your receipts, so there is nothing to subscribe to.",
    ReasonCode.NEED_LATE: "Not bought for {days_since_last_purchase:.0f} days, with a mean interval of "
    "{mean_interval_days:.1f} days: it is late, so wait for the next purchase.",
    ReasonCode.NEED_PAUSED: "Not bought for {days_since_last_purchase:.0f} days, with a mean interval of "
    "{mean_interval_days:.1f} days: the need seems to be paused.",
    ReasonCode.NEED_ENDED: "Not bought for {days_since_last_purchase:.0f} days, with a mean interval of "
    "{mean_interval_days:.1f} days: the need seems to have ended.",
    ReasonCode.NEED_SWITCHED: "Not bought for {days_since_last_purchase:.0f} days, with a mean interval of "
    "{mean_interval_days:.1f} days: another item of its kind seems to have taken its place.",
    ReasonCode.INTERVAL_TOO_LONG: "Bought every {mean_interval_days:.1f} days on average; the longest cadence is "
    "{max_interval_days:.0f} days, so deliveries would come faster than it is used up.",
    ReasonCode.LOW_PROBABILITY: "A purchase within one and a half times {interval_days:.0f} days has a probability of "
    "{cadence_probability:.4g}, below the required {min_cadence_probability:.4g}.",
    ReasonCode.LOW_CONFIDENCE: "A confidence of {confidence:.4g} is below the required {min_confidence:.4g}.",
    ReasonCode.CATEGORY_FULL: "Ranked number {place:.0f}; its category already has {max_of_category:.0f} "
    "recommendations.",
    ReasonCode.OUTRANKED: "Ranked number {place:.0f}; {max_recommendations:.0f} recommendations were requested.",
}


class Reason(NamedTuple):
    """A reason with its values by name."""

    code: ReasonCode
    values: Mapping[str, float]
    other_item: str = ""
    """Name of another item that the text mentions; empty for most reasons."""
    goods: GoodsType | None = None
    """Type of goods that the text mentions; None for most reasons."""
    digits: int = CENT_DIGITS
    """Decimal places of amounts in the text."""

    @property
    def text(self) -> str:
        """The reason as a sentence."""
        text = _TEXTS[self.code]
        if self.digits != CENT_DIGITS:
            text = text.replace(":.2f}", f":.{self.digits}f}}")
        return text.format(
            **self.values, other_item=self.other_item, goods="" if self.goods is None else self.goods.label["en"]
        )
