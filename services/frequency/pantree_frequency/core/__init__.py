"""What the frequency service knows: statistics of purchase intervals, and how much they are worth."""

from pantree_frequency.core.analysis import HistoryAnalysis, ItemFrequency, analyze_history
from pantree_frequency.core.statistics import ItemStatistics, Trend

__all__ = ["HistoryAnalysis", "ItemFrequency", "ItemStatistics", "Trend", "analyze_history"]
