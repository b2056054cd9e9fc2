"""Discount tiers from a TOML file."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ValidationError

from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.core.discount import DiscountTier, DiscountTiers

BUNDLED = Path(__file__).parent.parent / "discounts.toml"


class _DiscountFile(BaseModel):
    tier: tuple[DiscountTier, ...]


def load_discounts(path: Path) -> DiscountTiers:
    """The tiers in a file with the format of `discounts.toml`.

    Raises:
        OSError: when the file cannot be read or is invalid.
    """
    try:
        return DiscountTiers(_DiscountFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).tier)
    except ValidationError as error:
        raise OSError(f"{path}: {problems_of(error)}") from error
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error
