"""B16: the next basket of a household with 300 items, against LightGBM's own evaluation of the same trees alone."""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from pantree.purchase.v1.purchase_pb2 import PurchaseColumns
from pantree.recommendation.v1.recommendation_service_pb2 import PredictNextBasketRequest, PredictNextBasketResponse
from pantree_domain.purchases import PurchaseHistory
from pantree_recommendation import convert
from pantree_recommendation.backends import basket_files
from pantree_recommendation.core.basket_features import basket_candidates
from pantree_runtime.purchase_columns import columns_of, history_of
from tests.benchmarks.measurement import Measurement, alternate

_ITEMS, _TRIPS, _ITEMS_PER_TRIP = 300, 100, 15
_ROUNDS = 30
_LEVEL = "≤ 10 ms"
_FIRST_DAY = 20_000


def _columns(names: tuple[str, ...]) -> PurchaseColumns:
    """A household that shops twice a week, some of its items far more often than others."""
    generator = np.random.default_rng(5)
    weights = 1 / np.arange(1.0, _ITEMS + 1)
    order = [generator.choice(_ITEMS, _ITEMS_PER_TRIP, False, weights / weights.sum()) for _ in range(_TRIPS)]
    # Every item is bought at least once.
    items = np.concatenate([np.arange(_ITEMS), *order])
    days = np.concatenate(
        [np.repeat(np.arange(20), _ITEMS // 20), np.repeat(np.arange(_TRIPS) * 7 // 2, _ITEMS_PER_TRIP)]
    )
    count = len(items)
    return columns_of(
        PurchaseHistory(
            item_names=names[:_ITEMS],
            item_categories=("",) * _ITEMS,
            item_indices=items.astype(np.int32),
            days=(_FIRST_DAY + days).astype(np.int32),
            quantities=np.ones(count, np.int32),
            prices=np.full(count, 2.0),
            savings=np.zeros(count),
        )
    )


def measure() -> list[Measurement]:
    """From the request's message to the response's, without the network; with known items and with unknown ones."""
    artifact = basket_files.load()
    model = artifact.model()
    booster = lightgbm.Booster(model_str=artifact.trees)
    measurements = []
    for kind, names in (
        ("known", artifact.statistics.names),
        ("unknown", tuple(f"Brand {number} thing" for number in range(_ITEMS))),
    ):
        request = PredictNextBasketRequest(history=_columns(names))
        candidates = basket_candidates(history_of(request.history), _FIRST_DAY + 352, artifact.statistics)
        values = np.column_stack([candidates.values, np.zeros(len(candidates.names), np.float32)])

        def predict(request: PredictNextBasketRequest = request) -> PredictNextBasketResponse:
            return convert.next_basket_response(model.predict(convert.next_basket_request(request)))

        def bare(values: NDArray[np.float32] = values) -> NDArray[np.float64]:
            return np.asarray(booster.predict(values, raw_score=True, num_threads=1))

        if not np.array_equal(bare(), model.trees.scores(candidates.values)[:, 0]):
            raise AssertionError("the model and LightGBM disagree")
        work, baseline = alternate(predict, bare, _ROUNDS)
        measurements.append(
            Measurement(
                "B16", f"next basket of a household with {_ITEMS} {kind} items", "LightGBM's predict alone", work,
                baseline, work / baseline, _LEVEL,
            )
        )  # fmt: skip
    return measurements
