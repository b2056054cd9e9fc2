"""The fitted artefact: a folder of small files that ships with the package, or that a retailer has fitted.

`model.json` has the version, the parameters of the closed forms; `priors.npz` what other households
say of types and categories; `next.txt.xz` and `interval.txt.xz` the two sets of trees in LightGBM's own text form.
"""

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pantree_frequency.core import Models
from pantree_frequency.core.models import CLOSED_FORMS, Hazard, Heuristic, Model
from pantree_frequency.core.models.hazard import STEPS
from pantree_frequency.core.models.trees import StepTrees
from pantree_frequency.core.need import Switching
from pantree_frequency.core.priors import Priors

SHIPPED = Path(__file__).resolve().parent.parent / "artefact"


@dataclass(frozen=True)
class Artefact:
    """Everything that is fitted."""

    description: Mapping[str, Any]
    """Version, features, parameters, plan; what JSON can hold."""
    priors: Priors
    next_trees: str
    """LightGBM's text."""
    interval_trees: str
    """LightGBM's text."""


def save(artefact: Artefact, folder: Path) -> None:
    """Writes an artefact; equal artefacts give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(artefact.description, indent=1, sort_keys=True) + "\n", "utf-8")
    (folder / "next.txt.xz").write_bytes(lzma.compress(artefact.next_trees.encode(), preset=9))
    (folder / "interval.txt.xz").write_bytes(lzma.compress(artefact.interval_trees.encode(), preset=9))
    priors = artefact.priors
    np.savez_compressed(
        folder / "priors.npz",
        everything=priors.everything,
        own_names=_bytes_of(priors.own),
        own=_matrix_of(priors.own),
        member_names=_bytes_of(priors.member),
        member=_matrix_of(priors.member),
        product_names=_bytes_of(priors.product),
        product=_matrix_of(priors.product),
    )


def load(folder: Path = SHIPPED) -> Artefact:
    """Reads an artefact.

    Raises:
        FileNotFoundError: when the folder holds none.
    """
    with np.load(folder / "priors.npz") as arrays:
        priors = Priors(
            arrays["everything"].astype(np.float32),
            _mapping_of(arrays["own_names"], arrays["own"]),
            _mapping_of(arrays["member_names"], arrays["member"]),
            _mapping_of(arrays["product_names"], arrays["product"]) if "product" in arrays else {},
        )
    return Artefact(
        json.loads((folder / "model.json").read_text("utf-8")),
        priors,
        lzma.decompress((folder / "next.txt.xz").read_bytes()).decode(),
        lzma.decompress((folder / "interval.txt.xz").read_bytes()).decode(),
    )


def models_of(artefact: Artefact, *, thread_count: int = 1) -> Models:
    """The models of an artefact; the hazard model is the default.

    Args:
        artefact: what was fitted.
        thread_count: threads of one prediction.
    """
    description = artefact.description
    version = description["version"]
    by_name: dict[str, Model] = {Heuristic.name: Heuristic()}
    for closed_form in CLOSED_FORMS:
        by_name[closed_form.NAME] = closed_form(description["closed_forms"][closed_form.NAME], version)
    by_name[Hazard.name] = Hazard(
        version=version,
        features=description["features"],
        next_trees=StepTrees(artefact.next_trees, STEPS, thread_count),
        interval_trees=StepTrees(artefact.interval_trees, STEPS, thread_count),
        companions=[by_name[name] for name in description["companions"]],
    )
    return Models(by_name, Hazard.name, artefact.priors, Switching(description["switching"]))


def _bytes_of(mapping: Mapping[str, NDArray[np.float32]]) -> NDArray[np.uint8]:
    return np.frombuffer("\n".join(mapping).encode(), np.uint8)


def _matrix_of(mapping: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float16]:
    return np.array(list(mapping.values()), np.float32).astype(np.float16)


def _mapping_of(names: NDArray[np.uint8], matrix: NDArray[np.float16]) -> dict[str, NDArray[np.float32]]:
    texts = names.tobytes().decode().split("\n") if len(names) else []
    return dict(zip(texts, matrix.astype(np.float32), strict=True))
