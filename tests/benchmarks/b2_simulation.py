"""B2: simulated purchases on one core, against the same model in numpy, and against drawing as many numbers."""

from collections.abc import Callable

import numpy as np

from tests.benchmarks.measurement import Measurement, alternate
from tests.benchmarks.numpy_simulation import numbers_drawn, same_lines, simulated_with_numpy
from tests.simulation.populations import a_population, all_lines, batches_of
from tests.simulation.scenarios import POPULATION_SIMULATOR

_HOUSEHOLDS = 2_000
_ROUNDS = 5


def measure() -> list[Measurement]:
    """Half a year of households of all archetypes, keys and batches included."""
    population = a_population(household_count=_HOUSEHOLDS)
    lines = all_lines(batches_of(population))
    if not same_lines(lines, simulated_with_numpy(population)):
        raise AssertionError("the kernel and numpy disagree")
    count = numbers_drawn(population, len(lines.days))
    # Counter-based as well, and numpy's fastest, which is not.
    floors = {kind.__name__: np.random.Generator(kind(1)) for kind in (np.random.Philox, np.random.PCG64)}
    buffer = np.empty(count)

    def work() -> int:
        return sum(len(batch.lines.days) for batch in POPULATION_SIMULATOR.batches(population))

    def floor(generator: np.random.Generator) -> Callable[[], object]:
        return lambda: generator.random(out=buffer)

    what = f"{len(lines.days):,} purchases of {_HOUSEHOLDS:,} households"
    seconds = alternate(work, lambda: simulated_with_numpy(population), _ROUNDS)
    measurements = [
        Measurement("B2", what, "the same model in numpy", *seconds, seconds[1] / seconds[0], "≥ 12 × faster")
    ]
    for name, generator in floors.items():
        seconds = alternate(work, floor(generator), _ROUNDS)
        baseline = f"drawing {count:,} numbers ({name})"
        measurements.append(Measurement("B2", what, baseline, *seconds, seconds[0] / seconds[1], "≤ 3 × its time"))
    return measurements
