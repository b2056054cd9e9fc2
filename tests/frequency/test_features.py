import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_fitting.frequency.outcomes import outcomes
from pantree_frequency.core.features import MODELED, feature_table, monotone_direction
from pantree_frequency.core.histories import Histories
from pantree_frequency.core.purchases import purchases_by_pair
from tests.frequency.histories import AS_OF_DAY, Line, bought_on, bundled_models, history_of, lines

NO_DEADLINE = settings(deadline=None, max_examples=20)
PRIORS = bundled_models().priors


def as_of(day: int, households: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.full(households, day, np.int32)


def bulk_histories(households: list[list[Line]]) -> Histories:
    """As a fit sees them: one long table over one dictionary, lines in any order."""
    names = sorted({name for rows in households for name, *_ in rows})
    flat = [(household, *row) for household, rows in enumerate(households) for row in rows]
    flat = [flat[position] for position in np.random.default_rng(7).permutation(len(flat))]
    return Histories.of_lines(
        households=[household for household, *_ in flat],
        item_names=names,
        item_types=[""] * len(names),
        item_categories=["pantry"] * len(names),
        item_indices=[names.index(name) for _, name, *_ in flat],
        days=[day for _, _, day, *_ in flat],
        quantities=[quantity for _, _, _, quantity, *_ in flat],
        prices=[price for *_, price, _ in flat],
        savings=[saving for *_, saving in flat],
    )


@NO_DEADLINE
@given(st.lists(lines, min_size=1, max_size=4), st.integers(min_value=0, max_value=120))
def test_features_of_a_fit_equal_those_of_a_request(households: list[list[Line]], days_later: int) -> None:
    day = AS_OF_DAY + days_later
    bulk = bulk_histories(households)
    offline = feature_table(purchases_by_pair(bulk, as_of(day, len(households))), PRIORS)
    for number, rows in enumerate(households):
        request = Histories.of_households([history_of(rows, category="pantry")])
        online = feature_table(purchases_by_pair(request, as_of(day)), PRIORS)
        by_name = {request.item_names[item]: online.values[row] for row, item in enumerate(online.items)}
        pairs = np.flatnonzero(offline.households == number)
        assert len(pairs) == len(by_name)
        for pair in pairs:
            np.testing.assert_array_equal(offline.values[pair], by_name[bulk.item_names[offline.items[pair]]])


@NO_DEADLINE
@given(lines, st.randoms(use_true_random=False))
def test_features_do_not_depend_on_the_order_of_lines(rows: list[Line], random: object) -> None:
    def values(of: list[Line]) -> object:
        return feature_table(purchases_by_pair(bulk_histories([of]), as_of(AS_OF_DAY)), PRIORS).values

    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(values(shuffled), values(rows))


@NO_DEADLINE
@given(lines, lines)
def test_nothing_after_the_day_of_asking_is_seen(past: list[Line], future: list[Line]) -> None:
    later: list[Line] = [(name, day + 500, *rest) for name, day, *rest in future]  # type: ignore[misc]
    with_future = Histories.of_households([history_of([*past, *later])])
    without = Histories.of_households([history_of(past)])
    seen = feature_table(purchases_by_pair(with_future, as_of(AS_OF_DAY)), PRIORS).values
    np.testing.assert_array_equal(seen, feature_table(purchases_by_pair(without, as_of(AS_OF_DAY)), PRIORS).values)


def test_interval_features_of_an_item() -> None:
    table = feature_table(purchases_by_pair(Histories.of_households([bought_on(100, 110, 130)]), as_of(140)), PRIORS)
    expected = {
        "pair_count": 3, "pair_recency": 10, "pair_age": 40, "pair_mean_interval": 15, "pair_median_interval": 15,
        "pair_last_interval": 20, "pair_max_interval": 20, "pair_in_14": 1, "pair_in_28": 1, "pair_in_56": 3,
        "trips_since_last": 0, "trip_ratio": 1, "household_pairs": 1,
    }  # fmt: skip
    assert {name: table[name][0] for name in expected} == expected
    assert np.isclose(table["pair_decay_14"][0], 0.5 ** (10 / 14) + 0.5 ** (30 / 14) + 0.5 ** (40 / 14))
    assert np.isnan(table["type_count"][0])


@NO_DEADLINE
@given(st.lists(st.integers(min_value=0, max_value=150), min_size=2, max_size=12, unique=True))
def test_what_ages_moves_only_as_the_trees_are_bound(days: list[int]) -> None:
    history = Histories.of_households([bought_on(*days)])
    due = max(days) + 200
    before = feature_table(purchases_by_pair(history, as_of(due)), PRIORS)
    after = feature_table(purchases_by_pair(history, as_of(due + 9)), PRIORS)
    for name in MODELED:
        change = np.nan_to_num(after[name][0]) - np.nan_to_num(before[name][0])
        if abs(change) > 1e-5 * (1 + abs(before[name][0])):
            assert change * monotone_direction(name) < 0, name


def test_outcomes_are_the_next_two_purchase_days_up_to_the_end() -> None:
    histories = Histories.of_households([bought_on(100, 107, 115, 115, 130, 160)])
    table = feature_table(purchases_by_pair(histories, as_of(110)), PRIORS)
    known = outcomes(histories, table, as_of(110), 150)
    assert (known.days_to_first[0], known.days_to_second[0], known.follow_up[0]) == (5, 20, 40)
    assert np.isinf(outcomes(histories, table, as_of(110), 120).days_to_second[0])
