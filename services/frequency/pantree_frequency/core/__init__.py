"""Statistics of purchase intervals, forecasts and cadences."""

from pantree_frequency.core.analysis import (
    AnalysisRequest,
    HistoryAnalysis,
    ItemFrequency,
    Models,
    Options,
    analyze_histories,
)
from pantree_frequency.core.counterfactual import CadenceChange, cadence_changes
from pantree_frequency.core.statistics import ItemStatistics

__all__ = [
    "AnalysisRequest",
    "CadenceChange",
    "HistoryAnalysis",
    "ItemFrequency",
    "ItemStatistics",
    "Models",
    "Options",
    "analyze_histories",
    "cadence_changes",
]
