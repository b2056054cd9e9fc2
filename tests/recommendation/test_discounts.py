from pathlib import Path

import pytest

from pantree_recommendation.backends.discounts import SHIPPED, load_discounts
from pantree_recommendation.core import DEFAULT_TIERS


def test_shipped_file_holds_the_default_tiers() -> None:
    assert load_discounts(SHIPPED) == DEFAULT_TIERS


@pytest.mark.parametrize(("items", "discount"), [(1, 0.05), (4, 0.05), (5, 0.15), (50, 0.15)])
def test_discount_holds_from_the_least_number_of_items_on(items: int, discount: float) -> None:
    assert DEFAULT_TIERS.of(items).discount_ratio == discount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "give \\[\\[tier\\]\\] tables"),
        ("[[tier]]\nmin_items_per_delivery = 1", "give \\[\\[tier\\]\\] tables"),
        ("tier = 3", "give \\[\\[tier\\]\\] tables"),
        ("[[tier]", "Expected"),
        ("[[tier]]\nmin_items_per_delivery = 2\ndiscount_ratio = 0.1", "must hold from one item on"),
        ("[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 1.1", "0 to 1"),
        ("[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 0.1\n" * 2, "each greater"),
        (
            "[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 0.1\n"
            "[[tier]]\nmin_items_per_delivery = 2\ndiscount_ratio = 0.05",
            "must not have less",
        ),
    ],
)
def test_wrong_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "discounts.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OSError, match=f"discounts.toml: .*{message}"):
        load_discounts(path)
