import asyncio
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_domain.limits import MAX_NAME_CHARACTERS
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.memory import MemoryStore
from pantree_vector.core.household import household_of
from pantree_vector.core.household_points import HistoryToIndex, points_of
from pantree_vector.core.profile import MAX_CATEGORY_SHARES, CustomerProfile, profile_of, profile_vector
from pantree_vector.core.similarity import Similarity
from pantree_vector.core.store import CustomerPoint
from tests.vector.households import FAMILY, Line, history_of_lines

EMBEDDER = HashedTrigrams()

# No deadline: examples may be slow on a busy machine.
no_deadline = settings(deadline=None, max_examples=40)

names = st.sampled_from(["Bananas", "bananas ", "BANA\u200bNAS", "Milk", "Oat Milk", "Straße", "strasse", "!!!"])
lines_of_households = st.lists(
    st.tuples(
        names,
        st.sampled_from(["", "produce", "dairy"]),
        st.integers(0, 20_000),
        st.floats(0, 1_000, allow_subnormal=False).map(lambda paid: round(paid, 2)),
    ),
    min_size=1,
    max_size=30,
)


def profile(lines: list[Line]) -> CustomerProfile:
    return profile_of("family", household_of(history_of_lines(lines)), 20_020)


def to_index(lines: list[Line]) -> HistoryToIndex:
    return HistoryToIndex("", "family", history_of_lines(lines), 20_020)


def customer_of(lines: list[Line]) -> CustomerPoint:
    return points_of(to_index(lines), EMBEDDER).customer


def test_profile_sums_up_spend_trips_and_categories() -> None:
    result = profile(list(FAMILY))
    assert (result.purchase_count, result.trip_count, result.total_spend) == (4, 3, 16.0)
    assert result.mean_trip_gap_days == 7.0
    assert [(share.category, share.share_ratio) for share in result.category_shares] == [
        ("household", 0.5),
        ("dairy", 0.25),
        ("produce", 0.25),
    ]


def test_profile_of_one_trip_has_no_gap() -> None:
    assert profile([("Bananas", "", 20_000, 1.0), ("Milk", "", 20_000, 1.0)]).mean_trip_gap_days is None


def test_profile_of_free_items_has_a_vector_but_no_shares() -> None:
    lines: list[Line] = [("Bananas", "produce", 20_000, 0.0), ("Milk", "dairy", 20_000, 0.0)]
    assert profile(lines).category_shares == ()
    customer = customer_of(lines)
    bananas, milk = EMBEDDER.embed(["bananas", "milk"])
    assert customer.vector @ bananas == pytest.approx(float(customer.vector @ milk), abs=1e-6)


def test_item_without_category_counts_as_other() -> None:
    (share,) = profile([("Bananas", "", 20_000, 1.0)]).category_shares
    assert (share.category, share.share_ratio) == ("other", 1.0)


@pytest.mark.parametrize("with_other", [False, True])
def test_profile_with_many_long_categories_fits_in_a_store(with_other: bool) -> None:
    lines: list[Line] = [
        (f"Item {number}", f"{number:03}" + "𝔘" * (MAX_NAME_CHARACTERS - 3), 20_000, 1.0 + number)
        for number in range(200)
    ]
    if with_other:
        lines.append(("Anything", "", 20_000, 500.0))
    result = profile(lines)
    assert len(result.category_shares) == MAX_CATEGORY_SHARES - with_other
    assert sum(share.share_ratio for share in result.category_shares) == pytest.approx(1.0)
    assert "other" in {share.category for share in result.category_shares}
    assert len(result.to_json().encode()) <= 65_535


def test_vector_weights_recency_and_spend() -> None:
    bananas, milk = EMBEDDER.embed(["bananas", "milk"])

    def milk_minus_bananas(milk_day: int, milk_paid: float) -> float:
        lines: list[Line] = [("Bananas", "", 20_000, 2.0), ("Milk", "", milk_day, milk_paid)]
        vector = customer_of(lines).vector
        return float(vector @ milk - vector @ bananas)

    assert milk_minus_bananas(20_000, 2.0) == pytest.approx(0.0, abs=1e-6)
    assert milk_minus_bananas(19_900, 2.0) < 0 < milk_minus_bananas(20_000, 4.0)
    assert milk_minus_bananas(19_940, 4.0) == pytest.approx(0.0, abs=1e-6)  # one half-life, twice the money


def test_vector_of_opposite_items_is_that_of_the_largest_weight() -> None:
    household = household_of(history_of_lines([("a", "", 20_000, 1.0), ("b", "", 20_000, 1.0)]))
    vectors = np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
    assert profile_vector(household, vectors).tolist() == [1.0, 0.0]


def test_spellings_of_one_item_are_merged_with_latest_name_and_category() -> None:
    (item,) = household_of(history_of_lines([("Bananas", "produce", 20_000, 1.0), ("BANANAS ", "", 20_007, 1.0)])).items
    assert (item.key, item.name, item.category) == ("bananas", "BANANAS ", "produce")


def test_dictionary_entry_without_lines_is_not_stored() -> None:
    history = history_of_lines([("Bananas", "", 20_000, 1.0), ("Milk", "", 20_000, 1.0)])
    only_bananas = type(history)(
        history.item_names,
        history.item_categories,
        history.item_indices[:1],
        history.days[:1],
        history.quantities[:1],
        history.prices[:1],
        history.savings[:1],
    )
    assert [item.name for item in household_of(only_bananas).items] == ["Bananas"]


@no_deadline
@given(lines_of_households, st.randoms(use_true_random=False))
def test_order_of_lines_does_not_change_the_points(lines: list[Line], shuffler: random.Random) -> None:
    categories = {name: category for name, category, _, _ in lines}
    lines = [(name, categories[name], day, paid) for name, _, day, paid in lines]
    shuffled = shuffler.sample(lines, len(lines))
    points = points_of(to_index(lines), EMBEDDER)
    others = points_of(to_index(shuffled), EMBEDDER)
    assert points.customer.profile == others.customer.profile
    assert points.customer.vector.tolist() == others.customer.vector.tolist()
    assert [(item.name, item.category) for item in points.items] == [
        (item.name, item.category) for item in others.items
    ]
    assert points.item_ids == others.item_ids


@no_deadline
@given(lines_of_households)
def test_profile_vector_has_unit_norm_and_shares_sum_to_one(lines: list[Line]) -> None:
    customer = customer_of(lines)
    assert np.linalg.norm(customer.vector) == pytest.approx(1.0, abs=1e-5)
    shares = customer.profile.category_shares
    assert sum(share.share_ratio for share in shares) == pytest.approx(1.0 if any(line[3] for line in lines) else 0.0)


@no_deadline
@given(lines_of_households)
def test_profile_round_trips_through_json(lines: list[Line]) -> None:
    result = profile(lines)
    assert CustomerProfile.from_json(result.to_json()) == result


@no_deadline
@given(lines_of_households, lines_of_households)
def test_indexing_is_idempotent(before: list[Line], lines: list[Line]) -> None:
    async def found(times: int) -> tuple[object, object, int]:
        similarity = Similarity(MemoryStore(max_items=10_000), EMBEDDER)
        await similarity.open()
        await similarity.index_history(to_index(before))
        for _ in range(times):
            await similarity.index_history(to_index(lines))
        matches = await similarity.search_items("", "bananas", limit=100)
        stored_profile = await similarity.customer_profile("", "family")
        return matches, stored_profile, await similarity.delete_customer("", "family")

    assert asyncio.run(found(1)) == asyncio.run(found(2))
