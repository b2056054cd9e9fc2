"""Why an item is recommended or left out: a stable code and the numbers behind it, from which the text is made."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class ReasonCode(enum.StrEnum):
    """Programs may branch on these; they never change their meaning."""

    BOUGHT_REGULARLY = "BOUGHT_REGULARLY"
    BOUGHT_REPEATEDLY = "BOUGHT_REPEATEDLY"
    DUE_NOW = "DUE_NOW"
    BOUGHT_MORE_OFTEN = "BOUGHT_MORE_OFTEN"
    CADENCE_LENGTHENED = "CADENCE_LENGTHENED"
    SAVES_MONEY = "SAVES_MONEY"
    KEEPS_FOR_MONTHS = "KEEPS_FOR_MONTHS"

    TOO_FEW_PURCHASES = "TOO_FEW_PURCHASES"
    NEED_ENDED = "NEED_ENDED"
    INTERVAL_TOO_LONG = "INTERVAL_TOO_LONG"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    OUTRANKED = "OUTRANKED"


# Filled with the reason's own values, so that no text can say anything else than the numbers.
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
    ReasonCode.SAVES_MONEY: "Saves about {estimated_annual_savings:.2f} a year against the shelf price.",
    ReasonCode.KEEPS_FOR_MONTHS: "Keeps for months, so a delivery too early does little harm.",
    ReasonCode.TOO_FEW_PURCHASES: "Bought on {purchase_count:.0f} of the at least {min_purchases:.0f} days that are "
    "needed to judge it.",
    ReasonCode.NEED_ENDED: "Not bought for {days_since_last_purchase:.0f} days, though its mean interval is "
    "{mean_interval_days:.1f} days: the need seems to have ended.",
    ReasonCode.INTERVAL_TOO_LONG: "Bought every {mean_interval_days:.1f} days on average; the longest cadence is "
    "{longest_interval_days:.0f} days, so that deliveries would pile up.",
    ReasonCode.LOW_CONFIDENCE: "A confidence of {confidence:.4g} is below the {min_confidence:.4g} that is needed.",
    ReasonCode.OUTRANKED: "Place {place:.0f} in the order; {max_recommendations:.0f} were asked for.",
}


@dataclass(frozen=True)
class Reason:
    """One ground, with the numbers behind it by name."""

    code: ReasonCode
    values: Mapping[str, float]

    @property
    def text(self) -> str:
        """The ground as a sentence for people."""
        return _TEXTS[self.code].format(**self.values)
