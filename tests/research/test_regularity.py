"""A short run of the generated regular needs: they are recommended, supplied and delivered on time."""

import numpy as np

from pantree_research.regularity import answers_to, cases
from tests.frequency.histories import bundled_models


def test_regular_needs_are_answered_as_a_grocer_would() -> None:
    chosen = [case for case in cases(seed=5) if case.jitter <= 0.25 and case.kind in ("plain", "missed", "doubled")]
    chosen = [case for case in chosen[::6] if case.interval_days <= 112]
    answered = answers_to(chosen, bundled_models())
    assert np.mean([one.recommended for one in answered]) >= 0.97
    # Of 104 cases; a record of a few intervals with a CV of .25 may itself be off by a quarter.
    assert np.mean([one.supplied() for one in answered]) >= 0.92
    assert np.mean([one.on_time(case) for case, one in zip(chosen, answered, strict=True)]) >= 0.90
