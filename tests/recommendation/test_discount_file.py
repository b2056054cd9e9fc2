from pathlib import Path

import pytest

from pantree_recommendation.backends.discount_file import BUNDLED, load_discounts
from pantree_recommendation.core.discount import DEFAULT_TIERS


def test_bundled_file_has_the_default_tiers() -> None:
    assert load_discounts(BUNDLED) == DEFAULT_TIERS


@pytest.mark.parametrize(("items", "discount"), [(1, 0.05), (4, 0.05), (5, 0.15), (50, 0.15)])
def test_discount_applies_from_min_items_per_delivery(items: int, discount: float) -> None:
    assert DEFAULT_TIERS.of(items).discount_ratio == discount


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "tier: Field required"),
        ("[[tier]]\nmin_items_per_delivery = 1", r"tier\[0\].discount_ratio: Field required"),
        ("tier = 3", "tier: Input should be a valid tuple"),
        ("[[tier]", "Expected"),
        (
            "[[tier]]\nmin_items_per_delivery = 2\ndiscount_ratio = 0.1",
            "the first tier must have min_items_per_delivery = 1",
        ),
        ("[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 1.1", "from 0 to 1"),
        ("[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 0.1\n" * 2, "each greater"),
        (
            "[[tier]]\nmin_items_per_delivery = 1\ndiscount_ratio = 0.1\n"
            "[[tier]]\nmin_items_per_delivery = 2\ndiscount_ratio = 0.05",
            "must not have a smaller discount",
        ),
    ],
)
def test_invalid_file_is_reported_with_its_name_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "discounts.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OSError, match=f"discounts.toml: .*{message}"):
        load_discounts(path)
