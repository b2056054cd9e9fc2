import re
import string

import pytest

from pantree_recommendation.core.reason import Reason, ReasonCode
from pantree_recommendation.core.texts import BUNDLED_TEXTS, load_texts, read_texts
from scripts.write_texts import PAGE, example, page


def test_every_code_has_a_text() -> None:
    assert set(load_texts().texts) == set(ReasonCode)


def test_languages_have_the_same_codes_and_name_the_same_values() -> None:
    languages = read_texts(BUNDLED_TEXTS)
    for language in languages.values():
        assert set(language.texts) == set(load_texts().texts)
        assert set(language.forms) == set(load_texts().forms)
        for constraint, variants in load_texts().constraints.items():
            assert set(language.constraints[constraint]) == set(variants)
        for code, text in language.texts.items():
            names = {field for _, field, _, _ in string.Formatter().parse(text) if field}
            expected = {field for _, field, _, _ in string.Formatter().parse(load_texts().texts[code]) if field}
            assert names == expected, code


@pytest.mark.parametrize("code", ReasonCode)
@pytest.mark.parametrize("number", [0, 1])
def test_text_is_a_sentence_for_shoppers(code: ReasonCode, number: int) -> None:
    text = example(code, number)
    assert re.fullmatch(r"[A-Z][^{}]*\.", text)
    # No probabilities, ranks or counts of people, and plural forms are right.
    assert not re.search(r"%|probab|confidence|percent|customers|\b1 (days|weeks|purchases|times)\b|0\.\d{3}", text)


@pytest.mark.parametrize(
    ("days", "expected"), [(1.2, "day"), (7.2, "week"), (10.0, "10 days"), (13.6, "2 weeks"), (56.0, "8 weeks")]
)
def test_interval_is_given_in_weeks_where_it_is_one(days: float, expected: str) -> None:
    values = {"purchase_count": 4, "mean_interval_days": days, "consistency_ratio": 0.9}
    text = Reason(ReasonCode.BOUGHT_REGULARLY, values).text
    assert text == f"You buy it regularly, about every {expected}."


@pytest.mark.parametrize(("count", "expected"), [(1, "Bought once"), (2, "Bought twice"), (4, "Bought 4 times")])
def test_plural_forms(count: int, expected: str) -> None:
    text = Reason(ReasonCode.TOO_FEW_PURCHASES, {"purchase_count": count, "min_purchases": 5}).text
    assert text == f"{expected} so far; we need 5 purchases."


@pytest.mark.parametrize(("share", "expected"), [(0.04, "fewer than 1"), (0.06, "about 1"), (0.5, "about 5")])
def test_share_is_given_in_tenths(share: float, expected: str) -> None:
    values = {"delivered_per_used_ratio": 1.0, "overstock_ratio": share, "expected_units_on_hand": 1.0}
    text = Reason(ReasonCode.STOCK_AT_HOME, values).text
    assert f"; {expected} in 10 deliveries come while you still have some." in text


def test_page_of_the_documentation_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python scripts/write_texts.py"
