"""Costs of stockouts and early deliveries from a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pantree_domain.catalog import Perishability
from pantree_frequency.core.costs import Costs, ItemCosts

BUNDLED = Path(__file__).parent.parent / "costs.toml"

# Costs further apart than this are slips of the pen.
_Cost = Annotated[float, Field(ge=0.01, le=100)]
_Loss = Annotated[float, Field(ge=0, le=100)]


class _Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keeps: Perishability
    stockout: _Cost


class _CostFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    typical_price: float = Field(gt=0, le=1e9)
    min_price: _Cost
    max_price: _Cost
    storage: _Cost
    loss: Mapping[Perishability, _Loss]
    ordinary: _Item
    items: Mapping[str, _Item] = {}

    @model_validator(mode="after")
    def _check(self) -> "_CostFile":
        if self.min_price > self.max_price:
            raise ValueError("min_price must be at most max_price")
        if missing := [keeps.value for keeps in Perishability if keeps not in self.loss]:
            raise ValueError(f"loss lacks {', '.join(missing)}")
        return self


def load_costs(path: Path = BUNDLED) -> Costs:
    """The costs in a file with the format of `costs.toml`.

    Raises:
        OSError: when the file cannot be read or is invalid.
    """
    try:
        file = _CostFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".lstrip(": ") for one in error.errors())
        raise OSError(f"{path}: {problems}") from error
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error
    return Costs(
        typical_price=file.typical_price,
        min_price=file.min_price,
        max_price=file.max_price,
        storage=file.storage,
        loss=file.loss,
        ordinary=ItemCosts(file.ordinary.keeps, file.ordinary.stockout),
        items={name.strip().casefold(): ItemCosts(item.keeps, item.stockout) for name, item in file.items.items()},
    )
