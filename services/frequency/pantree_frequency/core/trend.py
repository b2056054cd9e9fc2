"""Whether intervals grow or shrink."""

import math

from pantree_domain.evidence import Trend

# Intervals have a trend if they change by more than this share of their mean from one to the next.
TREND_THRESHOLD_RATIO = 0.1


def trend_of(slope_days: float | None, mean_days: float | None) -> Trend:
    """The trend of intervals with a given slope.

    Args:
        slope_days: change from one interval to the next, days; None if unknown.
        mean_days: mean interval, days; None if unknown.
    """
    if slope_days is None or mean_days is None:
        return Trend.UNKNOWN
    if slope_days > TREND_THRESHOLD_RATIO * mean_days:
        return Trend.SLOWING
    if slope_days < -TREND_THRESHOLD_RATIO * mean_days:
        return Trend.ACCELERATING
    return Trend.STABLE


def p_value(t: float, degrees: int) -> float:
    """Two-sided probability of a t statistic at least this far from 0 if intervals neither grow nor shrink.

    Source: M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4: Student's distribution in
    closed form for whole degrees of freedom.

    Args:
        t: may be infinite.
        degrees: of freedom, at least 1.
    """
    angle = math.atan2(abs(t), math.sqrt(degrees))
    cosine = math.cos(angle)
    odd = degrees % 2 == 1
    # cos θ, or 1, times the partial products of (2/3 · 4/5 · …) cos² θ, or (1/2 · 3/4 · …) cos² θ.
    term = cosine if odd else 1.0
    total = 0.0
    for factor in range(1 if odd else 2, degrees, 2):
        total += term
        term *= cosine * cosine * ((factor + 1) / (factor + 2) if odd else (factor - 1) / factor)
    if odd:
        inside = 2.0 / math.pi * (angle + math.sin(angle) * total)
    else:
        inside = math.sin(angle) * (total + term if degrees > 2 else 1.0)
    return min(max(1.0 - inside, 0.0), 1.0)
