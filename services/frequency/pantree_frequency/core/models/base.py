"""The interface of all models of repeat purchase, and the base of those with a closed form."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol

import numpy as np

from pantree_frequency.core.features import FeatureTable
from pantree_frequency.core.records import Floats as Floats


class Model(Protocol):
    """Predicts when each pair is bought again."""

    @property
    def name(self) -> str:
        """Stable name, such as `hazard`."""

    @property
    def version(self) -> str:
        """Changes whenever equal input may give other output."""

    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that each of `p` pairs is bought within each number of days of the as-of day.

        Args:
            table: features of p pairs.
            days: float64[d], ascending, greater than 0.
        """

    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long.

        The interval is that from the next purchase to the one after it, given that the need continues.

        Args:
            table: features of p pairs.
            days: float64[d], ascending, greater than 0.
        """


class ClosedForm(ABC):
    """A model with a few parameters, fitted together by the log loss of the next purchases.

    Parameters are on an unbounded scale, so that any optimizer can search them; the model bounds them itself.
    """

    NAME: ClassVar[str]
    START: ClassVar[Mapping[str, float]]
    """Parameters that a fit starts from."""

    def __init__(self, parameters: Mapping[str, float] | None = None, version: str = "unfitted") -> None:
        self.parameters = {**self.START, **(parameters or {})}
        self._version = version

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.NAME

    @property
    def version(self) -> str:
        """Version of the fit that the parameters come from."""
        return self._version

    def __getitem__(self, parameter: str) -> float:
        return self.parameters[parameter]

    @abstractmethod
    def within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability of a purchase within each number of days of the as-of day."""

    @abstractmethod
    def interval_within(self, table: FeatureTable, days: Floats) -> Floats:
        """float64[p, d], probability that an interval between purchases is at most each number of days long."""


# Cached: a model's parameters never change, and numpy takes microseconds for a single number.
@functools.lru_cache(maxsize=1024)
def bounded(value: float, low: float, high: float) -> float:
    """A parameter on an unbounded scale, mapped between two bounds."""
    return low + (high - low) / (1.0 + float(np.exp(-value)))


@functools.lru_cache(maxsize=1024)
def positive(value: float) -> float:
    """A parameter on a log scale, mapped to a positive number."""
    return float(np.exp(np.clip(value, -20.0, 20.0)))


def column(values: Floats) -> Floats:
    """float64[p, 1], to broadcast with float64[d] days."""
    return values[:, None]
