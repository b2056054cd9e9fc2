"""What every model of repeat purchase answers, whichever way it gets there."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core.features import FeatureTable

Floats = NDArray[np.float64]


class Model(Protocol):
    """Says when each pair is bought again."""

    @property
    def name(self) -> str:
        """Stable name, such as `hazard`."""

    @property
    def version(self) -> str:
        """Changes whenever equal input may give other output."""

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that each of `p` pairs is bought within each number of days of the day of asking.

        Args:
            table: features of p pairs.
            days: float64[d], ascending, greater than 0.
        """

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long.

        The interval is that from the next purchase to the one after it, given that it comes: the need goes on.

        Args:
            table: features of p pairs.
            days: float64[d], ascending, greater than 0.
        """


class ClosedForm(ABC):
    """A model with a handful of parameters, all fitted at once by the log loss of what happened next.

    Parameters live on an unbounded scale, so that any optimiser can search them; the model bounds them itself.
    """

    NAME: ClassVar[str]
    START: ClassVar[Mapping[str, float]]
    """Parameters from which a fit starts."""

    def __init__(self, parameters: Mapping[str, float] | None = None, version: str = "unfitted") -> None:
        self.parameters = {**self.START, **(parameters or {})}
        self._version = version

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.NAME

    @property
    def version(self) -> str:
        """Version of the artefact that the parameters come from."""
        return self._version

    def __getitem__(self, parameter: str) -> float:
        return self.parameters[parameter]

    @abstractmethod
    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the day of asking."""

    @abstractmethod
    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""


# A model's parameters stay as they are once it is fitted; numpy takes microseconds for a single number.
@functools.lru_cache(maxsize=1024)
def bounded(value: float, low: float, high: float) -> float:
    """A parameter on an unbounded scale, brought between two bounds."""
    return low + (high - low) / (1.0 + float(np.exp(-value)))


@functools.lru_cache(maxsize=1024)
def positive(value: float) -> float:
    """A parameter on a log scale."""
    return float(np.exp(np.clip(value, -20.0, 20.0)))


def column(values: Floats) -> Floats:
    """float64[p, 1], so that it goes with float64[d] days."""
    return values[:, None]
