"""Models of repeat purchase behind one interface; each file cites its sources."""

from pantree_frequency.core.models.base import ClosedForm, Model
from pantree_frequency.core.models.counting import (
    BetaGeometric,
    Hawkes,
    ModifiedPoissonGamma,
    PoissonGamma,
    RepeatCustomers,
)
from pantree_frequency.core.models.hazard import Hazard
from pantree_frequency.core.models.heuristic import Heuristic
from pantree_frequency.core.models.renewal import AggregateTimes, LogNormalRenewal

CLOSED_FORMS: tuple[type[ClosedForm], ...] = (
    RepeatCustomers,
    AggregateTimes,
    PoissonGamma,
    ModifiedPoissonGamma,
    BetaGeometric,
    LogNormalRenewal,
    Hawkes,
)

__all__ = [
    "CLOSED_FORMS",
    "AggregateTimes",
    "BetaGeometric",
    "ClosedForm",
    "Hawkes",
    "Hazard",
    "Heuristic",
    "LogNormalRenewal",
    "Model",
    "ModifiedPoissonGamma",
    "PoissonGamma",
    "RepeatCustomers",
]
