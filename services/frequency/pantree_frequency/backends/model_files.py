"""Files of fitted models: those that ship with the package, or those that a retailer fitted.

`model.json` is the manifest; `priors.npz` holds priors of types, categories and products; `next.txt.xz` and
`interval.txt.xz` hold the two sets of trees in LightGBM's text form.
"""

import json
import lzma
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pantree_domain.trees import StepTrees
from pantree_frequency.backends import cost_file
from pantree_frequency.core import Models
from pantree_frequency.core.costs import Costs
from pantree_frequency.core.models import CLOSED_FORMS, Hazard, Heuristic, Model
from pantree_frequency.core.models.hazard import STEPS, Trees
from pantree_frequency.core.need import Switching
from pantree_frequency.core.priors import Priors
from pantree_frequency.core.rhythm import DEFAULT_PRIOR, RhythmPrior

BUNDLED = Path(__file__).resolve().parent.parent / "models" / "default"

# Pairs from which a further thread pays.
_PAIRS_PER_THREAD = 512


class Manifest(BaseModel):
    """Parameters of the models, and how they were fitted."""

    model_config = ConfigDict(frozen=True)

    version: str
    features: tuple[str, ...]
    """Columns of the trees, in order."""
    closed_forms: dict[str, dict[str, float]]
    """Parameters by name of the model."""
    best_closed_form: str
    ensemble: tuple[str, ...]
    """Closed forms whose log odds are averaged with those of the trees."""
    switching: dict[str, float]
    rhythm: RhythmPrior = DEFAULT_PRIOR
    """How regular needs are; the default if a fit did not estimate it."""
    plan: dict[str, Any]
    """How much was fitted, and on what days."""


@dataclass(frozen=True)
class FittedModels:
    """Everything that is fitted."""

    manifest: Manifest
    priors: Priors
    next_trees: str
    """LightGBM's text."""
    interval_trees: str
    """LightGBM's text."""


def save(fitted: FittedModels, directory: Path) -> None:
    """Writes the files; equal models result in equal bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = json.dumps(fitted.manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    (directory / "model.json").write_text(manifest + "\n", "utf-8")
    (directory / "next.txt.xz").write_bytes(lzma.compress(fitted.next_trees.encode(), preset=9))
    (directory / "interval.txt.xz").write_bytes(lzma.compress(fitted.interval_trees.encode(), preset=9))
    priors = fitted.priors
    arrays: dict[str, NDArray[Any]] = {}
    for name, group in (("own", priors.own), ("member", priors.member), ("product", priors.product)):
        arrays[f"{name}_names"] = np.frombuffer("\n".join(group).encode(), np.uint8)
        arrays[name] = np.array(list(group.values()), np.float32).astype(np.float16)
    np.savez_compressed(directory / "priors.npz", everything=priors.everything, **arrays)  # type: ignore[arg-type]


def load(directory: Path = BUNDLED) -> FittedModels:
    """Reads the files.

    Raises:
        FileNotFoundError: if a file is missing.
        ValidationError: if the manifest is invalid.
    """
    manifest = Manifest.model_validate_json((directory / "model.json").read_bytes())
    with np.load(directory / "priors.npz") as arrays:
        groups = {name: _group(arrays, name) for name in ("own", "member", "product")}
        priors = Priors(arrays["everything"].astype(np.float32), **groups, rhythm=manifest.rhythm)
    return FittedModels(
        manifest,
        priors,
        lzma.decompress((directory / "next.txt.xz").read_bytes()).decode(),
        lzma.decompress((directory / "interval.txt.xz").read_bytes()).decode(),
    )


def _group(arrays: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[np.float32]]:
    if name not in arrays or not len(arrays[name]):
        return {}
    names = arrays[f"{name}_names"].tobytes().decode().split("\n")
    return dict(zip(names, arrays[name].astype(np.float32), strict=True))


def models_of(fitted: FittedModels, *, thread_count: int = 1, costs: Costs | None = None) -> Models:
    """The models of some files; the hazard model is the default.

    Args:
        fitted: from `load`.
        thread_count: threads of one prediction.
        costs: of stockouts and early deliveries; None for the bundled ones.
    """
    manifest = fitted.manifest
    by_name: dict[str, Model] = {Heuristic.name: Heuristic()}
    for closed_form in CLOSED_FORMS:
        by_name[closed_form.NAME] = closed_form(manifest.closed_forms[closed_form.NAME], manifest.version)
    by_name[Hazard.name] = Hazard(
        version=manifest.version,
        features=manifest.features,
        next_trees=_ThreadedTrees(StepTrees(fitted.next_trees, STEPS), thread_count),
        interval_trees=_ThreadedTrees(StepTrees(fitted.interval_trees, STEPS), thread_count),
        ensemble=[by_name[name] for name in manifest.ensemble],
    )
    switching = Switching(manifest.switching)
    return Models(by_name, Hazard.name, fitted.priors, switching, cost_file.load_costs() if costs is None else costs)


class _ThreadedTrees:
    """Trees whose pairs are divided among threads, if there are enough."""

    def __init__(self, trees: Trees, thread_count: int) -> None:
        self._trees = trees
        self._thread_count = thread_count

    def scores(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64[p, s], the log odds of each pair at each step, given float32[p, f]."""
        count = min(self._thread_count, len(values) // _PAIRS_PER_THREAD)
        if count < 2:
            return self._trees.scores(values)
        with ThreadPoolExecutor(count) as threads:
            return np.concatenate(list(threads.map(self._trees.scores, np.array_split(values, count))))
