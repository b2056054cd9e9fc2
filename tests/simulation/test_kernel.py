"""The kernel compared with the same model in numpy."""

import pytest

from tests.benchmarks.numpy_simulation import same_lines, simulated_with_numpy
from tests.simulation.populations import a_population, all_lines, batches_of


@pytest.mark.parametrize("month_count", [1, 6, 18])
def test_kernel_returns_the_purchases_of_the_numpy_model(month_count: int) -> None:
    population = a_population(household_count=40, month_count=month_count, seed=month_count)
    assert same_lines(all_lines(batches_of(population)), simulated_with_numpy(population))
