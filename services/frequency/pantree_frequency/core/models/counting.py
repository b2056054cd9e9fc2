"""Poisson models: purchases come at an unknown rate, which a longer history determines better."""

from typing import ClassVar

import numpy as np

from pantree_frequency.core.features import FeatureTable, known_or_zero
from pantree_frequency.core.models.base import ClosedForm, Floats, column, positive


def _lomax(shape: Floats, scale: Floats, days: Floats) -> Floats:
    """float64[p, d], probability of an event within `days` when the rate is Gamma(shape, scale)."""
    return np.asarray(-np.expm1(-column(shape) * np.log1p(days / column(scale))))


class PoissonGamma(ClosedForm):
    """A Poisson rate per pair under a Gamma prior whose mean is the item's rate over other households.

    Source: the Poisson-Gamma model of R. Bhagat, S. Muralidharan, A. Lobzhanidze, S. Vishwanath, "Buy It Again:
    Modeling Repeat Purchase Recommendations", KDD 2018. They fit a prior per item; here one shape is shared, and the
    item's repeat rate sets the scale, so that items with few buyers have a prior too.
    """

    NAME = "poisson-gamma"
    START: ClassVar[dict[str, float]] = {"shape": 0.0, "scale": 0.0}

    def _prior(self, table: FeatureTable) -> tuple[float, Floats]:
        shape = positive(self["shape"])
        rate = np.exp(table["item_prior_log_rate"] - table["household_log_ratio"])
        return shape, shape / rate * positive(self["scale"])

    def _posterior(self, table: FeatureTable) -> tuple[Floats, Floats]:
        shape, scale = self._prior(table)
        return table["pair_count"] - 1 + shape, table["pair_age"] + scale

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        return _lomax(*self._posterior(table), days)

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        shape, scale = self._prior(table)
        span = table["pair_age"] - table["pair_recency"]
        return _lomax(table["pair_count"] - 1 + shape, span + scale, days)


class ModifiedPoissonGamma(PoissonGamma):
    """Poisson-Gamma whose rate falls for a while after a purchase and peaks when the next one is due.

    Until twice the mean interval has passed, the time of exposure is that up to the last purchase plus twice the
    distance from the due date; afterwards it is all time that has passed.

    Source: the modified Poisson-Gamma model of Bhagat et al., KDD 2018.
    """

    NAME = "modified-poisson-gamma"

    def _posterior(self, table: FeatureTable) -> tuple[Floats, Floats]:
        shape, scale = self._prior(table)
        mean = np.where(table["pair_count"] > 1, table["pair_mean_interval"], np.exp(table["log_interval"]))
        recency = table["pair_recency"]
        passed = np.where(recency < 2 * mean, 2 * np.abs(mean - recency), recency)
        return table["pair_count"] - 1 + shape, table["pair_age"] - recency + passed + scale


class BetaGeometric(ClosedForm):
    """BG/NBD: Poisson purchases while the need lasts; it may end after each purchase.

    Source: P. Fader, B. Hardie, K. Lee, "Counting Your Customers the Easy Way: An Alternative to the Pareto/NBD Model",
    Marketing Science 24 (2005). As in Poisson-Gamma, the item's repeat rate sets the scale of the rate.
    """

    NAME = "bg-nbd"
    START: ClassVar[dict[str, float]] = {"shape": 0.0, "scale": 0.0, "a": 0.0, "b": 1.0}

    def _rate(self, table: FeatureTable) -> tuple[float, Floats]:
        shape = positive(self["shape"])
        rate = np.exp(table["item_prior_log_rate"] - table["household_log_ratio"])
        return shape, shape / rate * positive(self["scale"])

    def alive(self, table: FeatureTable) -> Floats:
        """float64[p], probability that the need still lasts on the as-of day."""
        shape, scale = self._rate(table)
        repeat_count = table["pair_count"] - 1
        last = table["pair_age"] - table["pair_recency"]
        a, b = positive(self["a"]), positive(self["b"])
        # It may end after the first purchase already: the variant that Fader and Hardie call modified BG/NBD.
        odds = (
            a
            / (b + repeat_count)
            * np.exp((shape + repeat_count) * np.log((scale + table["pair_age"]) / (scale + last)))
        )
        return np.asarray(1.0 / (1.0 + odds))

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        shape, scale = self._rate(table)
        return column(self.alive(table)) * _lomax(table["pair_count"] - 1 + shape, table["pair_age"] + scale, days)

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        shape, scale = self._rate(table)
        span = table["pair_age"] - table["pair_recency"]
        return _lomax(table["pair_count"] - 1 + shape, span + scale, days)


class Hawkes(ClosedForm):
    """Each purchase makes the next ones more likely, strongly for weeks and weakly for months.

    The intensity is a base, the item's rate over other households, plus the purchases of the pair decayed with
    a short and a long half-life, plus the same for its type or category. It rises with how often the household shops.

    Source: the idea of short- and long-term item and category processes is that of Target's SLH-BIA (A. Pande, R. Park,
    D. Relyea et al., 2025, tech.target.com, "Buy It Again – Part 2"); half-lives are fixed so that decayed counts can
    be shared with the other models, weights are fitted.
    """

    NAME = "hawkes"
    START: ClassVar[dict[str, float]] = {
        "base": -0.5, "decay_7": -6.0, "decay_14": -5.0, "decay_28": -5.0, "decay_56": -5.0, "decay_112": -5.0,
        "category": -8.0, "fresh": 0.0, "trips": 0.0, "rest": -3.0,
    }  # fmt: skip
    _HALF_LIVES: ClassVar[dict[str, float]] = {
        "decay_7": 7.0, "decay_14": 14.0, "decay_28": 28.0, "decay_56": 56.0, "decay_112": 112.0
    }  # fmt: skip

    def _expected(self, table: FeatureTable, days: Floats, *, fresh: bool) -> Floats:
        """float64[p, d], purchases expected within `days`; as if just bought when `fresh`."""
        rate = np.exp(table["item_prior_log_rate"])
        expected = positive(self["base"]) * column(rate) * days
        for name, half_life in self._HALF_LIVES.items():
            scale = np.log(2.0) / half_life
            reach = -np.expm1(-scale * days) / scale
            expected = expected + positive(self[name]) * column(table[f"pair_{name}"] + fresh) * reach
        scale = np.log(2.0) / 28.0
        group = known_or_zero(
            np.where(np.isnan(table["type_decay_28"]), table["category_decay_28"], table["type_decay_28"])
        )
        expected = expected + positive(self["category"]) * column(group) * -np.expm1(-scale * days) / scale
        shopping = column(np.exp(self["trips"] * np.log(table["trips_expected_28"] / 5.0)))
        # Right after a purchase there is still stock at home.
        recency = 0.0 if fresh else column(table["pair_recency"])
        pause = column(np.exp(table["log_interval"])) * positive(self["rest"])
        held = np.log1p(pause / (recency + 1.0)) * positive(self["fresh"])
        return np.asarray(expected * shopping / (1.0 + held))

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        return np.asarray(-np.expm1(-self._expected(table, days, fresh=False)))

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        return np.asarray(-np.expm1(-self._expected(table, days, fresh=True)))


class RepeatCustomers(ClosedForm):
    """RCP: every buyer of an item is as likely to buy again as its buyers are on average, at any time.

    Source: the repeat customer probability model of Bhagat et al., KDD 2018. The time scale is fitted.
    """

    NAME = "repeat-customer-probability"
    START: ClassVar[dict[str, float]] = {"scale": 4.0}

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""
        never = 1.0 - np.clip(table["item_prior_repeat_ratio"], 0.001, 0.999)
        return np.asarray(1.0 - column(never) ** (days / positive(self["scale"])))

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""
        return self.within(table, days)
