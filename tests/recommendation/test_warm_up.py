"""The service is SERVING when everything is compiled, and plans are the same where nothing is compiled."""

import os
import subprocess
import sys

from pantree_recommendation.core.plan import PlanConstraints, PlanPolicy
from pantree_recommendation.core.planner import plan_deliveries
from tests.recommendation.plans import random_items

# In a process of its own: other tests may have compiled what the service forgot.
_WARM_UP = """
import asyncio, importlib, pkgutil
import pantree_recommendation.core as core
from pantree_recommendation.__main__ import build
from pantree_recommendation.settings import RecommendationSettings
from tests.loopback import loopback
from tests.recommendation.test_warm_up import plans

def variants():
    loops = {}
    for module in pkgutil.walk_packages(core.__path__, "pantree_recommendation.core."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if hasattr(value, "nopython_signatures"):
                loops[f"{value.__module__}.{name}"] = len(value.nopython_signatures)
    return loops

async def main():
    async with loopback(await build(RecommendationSettings())):
        warm = variants()
        plans()
        later = {name: count for name, count in variants().items() if count != warm[name]}
        # Functions that only others call are a part of these when they come from the cache.
        called = [count for name, count in warm.items() if "._" not in name]
        assert called and all(called) and not later, (warm, later)

asyncio.run(main())
"""
_PLANS = "from tests.recommendation.test_warm_up import plans; print(plans())"


def plans() -> str:
    """Plans with and without constraints, to the last bit."""
    limits = [
        PlanConstraints(),
        PlanConstraints(max_boxes=1, notice_days=3),
        PlanConstraints(weekdays=frozenset({2, 5}), budget=20.0),
        PlanConstraints(min_annual_savings=30.0, required=frozenset({"item 0"})),
        PlanConstraints(budget=1.0),
    ]
    found = [
        plan_deliveries(random_items(count, seed=count), PlanPolicy(), one) for count in (1, 2, 8) for one in limits
    ]
    return repr([(plan.items, plan.left_out, plan.objective, plan.bindings) for plan in found])


def _run(program: str, **variables: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, env={**os.environ, **variables}
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_nothing_is_compiled_once_the_service_is_serving() -> None:
    _run(_WARM_UP)


def test_interpreted_plans_equal_compiled_ones() -> None:
    assert _run(_PLANS, NUMBA_DISABLE_JIT="1") == plans()
