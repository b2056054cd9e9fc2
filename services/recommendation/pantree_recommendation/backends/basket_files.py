"""Directories of next-basket models: the bundled one, or those that a retailer fitted.

    manifest.json     name, version, features, how it was fitted, metrics, and the SHA-256 of the other files
    statistics.npz    statistics of items, groups and associations: sums over many households, no household's baskets
    trees.txt.xz      trees in LightGBM's text form

A directory contains no code. Checksums are verified before the files are parsed.
"""

import hashlib
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from pantree_domain.evidence import ModelName
from pantree_domain.trees import StepTrees
from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.backends.model_artifact import InvalidModel
from pantree_recommendation.core.basket_features import FEATURES
from pantree_recommendation.core.basket_statistics import STATISTICS, BasketStatistics
from pantree_recommendation.core.next_basket import NextBasketModel

BUNDLED = Path(__file__).resolve().parent.parent / "models" / "next_basket"
MANIFEST, _STATISTICS_FILE, _TREES_FILE = "manifest.json", "statistics.npz", "trees.txt.xz"
_ARRAYS = {
    "item_groups": np.int32, "item_statistics": np.float32, "group_statistics": np.float32, "overall": np.float32,
    "factors": np.float16, "together_items": np.int32, "together_weights": np.float16, "shared_items": np.int32,
    "shared_weights": np.float16,
}  # fmt: skip


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    name: str
    version: str
    features: tuple[str, ...]
    statistics: tuple[str, ...]
    uses_promotions: bool
    plan: dict[str, Any]
    training_data: str
    metrics: dict[str, float]
    files: dict[str, str]
    """SHA-256 of each other file, in hexadecimal."""


@dataclass(frozen=True, eq=False)
class BasketArtifact:
    """Everything in a directory."""

    name: ModelName
    statistics: BasketStatistics
    trees: str
    """LightGBM's text."""
    plan: Mapping[str, Any]
    uses_promotions: bool
    training_data: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def model(self) -> NextBasketModel:
        """The model as it is served."""
        # Without the empty line that ends a tree, the last one would be lost.
        trees = StepTrees(self.trees + "\n", np.zeros(1))
        return NextBasketModel(self.name, self.statistics, trees, self.uses_promotions)


def save(artifact: BasketArtifact, directory: Path) -> None:
    """Writes a model; equal models result in equal bytes."""
    statistics = artifact.statistics
    arrays: dict[str, NDArray[Any]] = {name: getattr(statistics, name).astype(kind) for name, kind in _ARRAYS.items()}
    for name in ("names", "groups"):
        text = json.dumps(getattr(statistics, name), ensure_ascii=False)
        arrays[name] = np.frombuffer(text.encode(), np.uint8)
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    contents = {
        _STATISTICS_FILE: buffer.getvalue(),
        _TREES_FILE: lzma.compress(artifact.trees.encode(), preset=9),
    }
    manifest = _Manifest(
        name=artifact.name.name,
        version=artifact.name.version,
        features=FEATURES,
        statistics=STATISTICS,
        uses_promotions=artifact.uses_promotions,
        plan=dict(artifact.plan),
        training_data=artifact.training_data,
        metrics=dict(artifact.metrics),
        files={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    # Written last, so that an incomplete directory has no manifest.
    (directory / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=1) + "\n", "utf-8")


def load(directory: Path = BUNDLED) -> BasketArtifact:
    """Reads and verifies a model.

    Raises:
        InvalidModel: when a file is missing, changed, or made for another version of this service.
    """
    try:
        manifest = _Manifest.model_validate_json((directory / MANIFEST).read_bytes())
        contents = {name: (directory / name).read_bytes() for name in (_STATISTICS_FILE, _TREES_FILE)}
    except OSError as error:
        raise InvalidModel(f"{error.filename} cannot be read ({error.strerror}); is there a model?") from error
    except ValidationError as error:
        raise InvalidModel(f"{directory / MANIFEST} is invalid: {problems_of(error)}") from error
    if manifest.features != FEATURES or manifest.statistics != STATISTICS:
        raise InvalidModel(f"{directory} was fitted for another version of this service: fit the model again")
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest.files.get(name):
            raise InvalidModel(
                f"{directory / name} differs from the checksum in its manifest; copy the directory again"
            )
    with np.load(BytesIO(contents[_STATISTICS_FILE])) as arrays:
        names, groups = (tuple(json.loads(arrays[name].tobytes().decode())) for name in ("names", "groups"))
        statistics = _statistics(names, groups, dict(arrays))
    return BasketArtifact(
        ModelName(manifest.name, manifest.version),
        statistics,
        lzma.decompress(contents[_TREES_FILE]).decode(),
        manifest.plan,
        manifest.uses_promotions,
        manifest.training_data,
        manifest.metrics,
    )


def rounded(statistics: BasketStatistics) -> BasketStatistics:
    """The statistics with the precision of their files, so that a model predicts the same before and after `save`."""
    arrays = {name: getattr(statistics, name).astype(kind) for name, kind in _ARRAYS.items()}
    return _statistics(statistics.names, statistics.groups, arrays)


def _statistics(
    names: tuple[str, ...], groups: tuple[str, ...], arrays: Mapping[str, NDArray[Any]]
) -> BasketStatistics:
    columns: dict[str, Any] = {
        name: arrays[name].astype(np.float32 if kind is np.float16 else kind) for name, kind in _ARRAYS.items()
    }
    return BasketStatistics(names, groups, **columns)
