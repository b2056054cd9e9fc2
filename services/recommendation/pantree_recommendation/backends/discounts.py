"""Discount tiers from a TOML file."""

import tomllib
from pathlib import Path

from pantree_recommendation.core import DiscountTier, DiscountTiers

SHIPPED = Path(__file__).parent.parent / "discounts.toml"


def load_discounts(path: Path) -> DiscountTiers:
    """The tiers that a file lists; its comments and names are those of `discounts.toml`.

    Raises:
        OSError: when the file cannot be read, or is not such a file; the message names it and says what is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        return DiscountTiers(
            tuple(DiscountTier(tier["min_items_per_delivery"], tier["discount_ratio"]) for tier in content["tier"])
        )
    except (KeyError, TypeError) as error:
        raise OSError(f"{path}: give [[tier]] tables with min_items_per_delivery and discount_ratio") from error
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error
