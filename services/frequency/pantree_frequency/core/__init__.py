"""What the frequency service knows: statistics of purchase intervals, and what they say about the next weeks."""

from pantree_domain.evidence import Need, Trend
from pantree_frequency.core.analysis import (
    HistoryAnalysis,
    ItemFrequency,
    Models,
    Options,
    Question,
    analyze_histories,
)
from pantree_frequency.core.counterfactual import CadenceChange, cadence_changes
from pantree_frequency.core.need import NEEDS
from pantree_frequency.core.statistics import ItemStatistics

__all__ = [
    "NEEDS",
    "CadenceChange",
    "HistoryAnalysis",
    "ItemFrequency",
    "ItemStatistics",
    "Models",
    "Need",
    "Options",
    "Question",
    "Trend",
    "analyze_histories",
    "cadence_changes",
]
