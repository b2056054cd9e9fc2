"""Generated regular records through the REST API; `make regular-records` is the long form."""

import numpy as np

from pantree_research.regular_records import answers_to, records
from tests.e2e.mesh import RunningMesh


async def test_regular_records_are_answered_as_a_grocer_would(mesh: RunningMesh) -> None:
    kinds = ("plain", "missed purchase", "doubled quantity", "change of brand")
    regular = [record for record in records(seed=3) if record.cv <= 0.25 and record.kind in kinds]
    places = np.random.default_rng(3).permutation(len(regular))[:48]
    chosen = [regular[place] for place in places]
    answered = await answers_to(chosen, mesh.http)
    wrong = [f"{record}: {one.text}" for record, one in zip(chosen, answered, strict=True) if not one.right]
    assert np.mean([one.recommended for one in answered]) >= 0.97, wrong
    assert np.mean([one.supplied for one in answered]) >= 0.9, wrong
    assert np.mean([one.on_time for one in answered]) >= 0.9, wrong
