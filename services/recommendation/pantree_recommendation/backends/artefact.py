"""A model as a folder: the same one is embedded here and served as a SageMaker container.

    manifest.json   name, version, closed form, features, training data, metrics, and the SHA-256 of each other file
    model.json      what was fitted; `null` under "calibration" when nothing was

Nothing in it is code, and every file is compared with its checksum before it is read.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pantree_recommendation.backends.embedded import CLOSED_FORM, EmbeddedRanker
from pantree_recommendation.core import Calibration, ItemFeatures, ModelCard, ModelName, Weight

SHIPPED = Path(__file__).resolve().parent.parent / "artefact"
"""The model that answers unless something else is chosen."""
FITTED = Path(__file__).resolve().parent.parent / "fitted"
"""A model that was fitted on real households; see its `MODEL_CARD.md`."""
MANIFEST, MODEL = "manifest.json", "model.json"
_FORMAT = 1
# As an endpoint's: a part of file names, settings and requests.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class BadArtefact(Exception):
    """A folder does not hold a model that this service can use. The message says what is wrong and what to do."""


@dataclass(frozen=True)
class Artefact:
    """A model, and what is known of it."""

    model: ModelName
    calibration: Calibration | None
    training_data: str
    """What it was fitted on."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured when it was fitted."""
    features: tuple[str, ...] = tuple(feature.name for feature in dataclasses.fields(ItemFeatures))
    """What it is shown of an item."""
    checksum: str = ""
    """SHA-256 of the manifest, in hexadecimal; empty before it is saved."""

    def ranker(self) -> EmbeddedRanker:
        """The model, ready to rank in this process."""
        return EmbeddedRanker(self.model, self.calibration)

    def card(self) -> ModelCard:
        """What is known of it."""
        return ModelCard(self.features, self.training_data, self.metrics, self.checksum)


def unfitted() -> Artefact:
    """The formula alone: the model that ships."""
    return Artefact(CLOSED_FORM, None, "None: the weights of the formula are a judgement, not a fit.")


def save(artefact: Artefact, folder: Path) -> None:
    """Writes an artefact; equal artefacts give equal bytes.

    Raises:
        BadArtefact: when the name or the version cannot be one.
        OSError: when the folder cannot be written.
    """
    _check_name("name", artefact.model.name)
    _check_name("version", artefact.model.version)
    calibration = None if artefact.calibration is None else dataclasses.asdict(artefact.calibration)
    content = _json({"calibration": calibration})
    manifest = {
        "format": _FORMAT,
        "name": artefact.model.name,
        "version": artefact.model.version,
        "closed_form": {"name": CLOSED_FORM.name, "version": CLOSED_FORM.version},
        "features": list(artefact.features),
        "training_data": artefact.training_data,
        "metrics": dict(artefact.metrics),
        "files": {MODEL: hashlib.sha256(content).hexdigest()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL).write_bytes(content)
    # Last, so that a folder without it is not complete yet.
    (folder / MANIFEST).write_bytes(_json(manifest))


def load(folder: Path = SHIPPED) -> Artefact:
    """Reads an artefact and verifies it.

    Raises:
        BadArtefact: when a file is missing, changed, or made for another version of this service.
    """
    manifest_bytes = _read(folder, MANIFEST)
    manifest = _object(manifest_bytes, folder / MANIFEST)
    if manifest.get("format") != _FORMAT:
        raise BadArtefact(f"{folder / MANIFEST} has format {manifest.get('format')!r}; this service reads {_FORMAT}")
    closed_form = manifest.get("closed_form")
    if closed_form != {"name": CLOSED_FORM.name, "version": CLOSED_FORM.version}:
        raise BadArtefact(
            f"{folder} was made for the formula {closed_form}; this service has "
            f"{CLOSED_FORM.name}/{CLOSED_FORM.version}: train the model again"
        )
    try:
        features = tuple(str(name) for name in manifest["features"])
        artefact = Artefact(
            model=ModelName(
                _check_name("name", manifest["name"]),
                _check_name("version", manifest["version"]),
            ),
            calibration=_calibration(_verified(folder, manifest)),
            training_data=str(manifest["training_data"]),
            metrics={str(name): float(value) for name, value in manifest["metrics"].items()},
            features=features,
            checksum=hashlib.sha256(manifest_bytes).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadArtefact(f"{folder} holds no model: {type(error).__name__}: {error}") from error
    known = {feature.name for feature in dataclasses.fields(ItemFeatures)}
    used = {weight.feature for weight in artefact.calibration.weights} if artefact.calibration else set()
    if unknown := (set(features) | used) - known:
        raise BadArtefact(f"{folder} needs features that this service does not have: {', '.join(sorted(unknown))}")
    return artefact


def _verified(folder: Path, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """Content of the model file, which is what the manifest says it is."""
    content = _read(folder, MODEL)
    found, expected = hashlib.sha256(content).hexdigest(), manifest["files"][MODEL]
    if found != expected:
        raise BadArtefact(
            f"{folder / MODEL} has the SHA-256 {found[:12]}…, its manifest says {str(expected)[:12]}…; "
            "copy the folder again"
        )
    return _object(content, folder / MODEL)


def _calibration(content: Mapping[str, Any]) -> Calibration | None:
    fitted = content["calibration"]
    if fitted is None:
        return None
    return Calibration(
        intercept=float(fitted["intercept"]),
        slope=float(fitted["slope"]),
        weights=tuple(
            Weight(str(weight["feature"]), float(weight["mean"]), float(weight["scale"]), float(weight["weight"]))
            for weight in fitted["weights"]
        ),
    )


def _check_name(field_name: str, value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise BadArtefact(f"the {field_name} {value!r} cannot be one; use letters, digits, dots and dashes, at most 63")
    return value


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BadArtefact(
            f"{folder / name} cannot be read ({error.strerror}); is there a model in the folder?"
        ) from error


def _object(content: bytes, path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise BadArtefact(f"{path} is no valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadArtefact(f"{path} holds no JSON object")
    return value


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
