"""Model directories, which this service embeds and the SageMaker container serves.

    manifest.json   name, version, formula, features, training data, metrics, and the SHA-256 of the other file
    model.json      the fitted calibration; null for the formula alone

A directory contains no code. The checksum of `model.json` is verified before it is parsed.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, StringConstraints, ValidationError

from pantree_domain.evidence import ModelName
from pantree_recommendation.backends.embedded import CLOSED_FORM, EmbeddedRanker
from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.core.calibration import Calibration
from pantree_recommendation.core.ranking import FEATURES
from pantree_recommendation.core.selection import ModelCard

BUNDLED = Path(__file__).resolve().parent.parent / "models"
DEFAULT_MODEL_DIR = BUNDLED / "default"
"""The formula alone; the default model."""
CALIBRATED_MODEL_DIR = BUNDLED / "calibrated"
"""Fitted on real households; see its `MODEL_CARD.md`."""
MANIFEST, MODEL = "manifest.json", "model.json"

# Used in file names, settings and requests.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class InvalidModel(Exception):
    """A directory has no valid model."""


class _Formula(BaseModel):
    name: str = CLOSED_FORM.name
    version: str = CLOSED_FORM.version


class _Manifest(BaseModel):
    format: Literal[1] = 1
    name: _Name
    version: _Name
    closed_form: _Formula
    features: tuple[str, ...]
    training_data: str
    metrics: dict[str, float]
    files: dict[str, str]
    """SHA-256 of each other file, in hexadecimal."""


class _ModelFile(BaseModel):
    calibration: Calibration | None


@dataclass(frozen=True)
class ModelArtifact:
    """A model and its description."""

    model: ModelName
    calibration: Calibration | None
    card: ModelCard
    """Its checksum is empty before the model is saved."""

    def ranker(self) -> EmbeddedRanker:
        """Ranker that runs the model in this process."""
        return EmbeddedRanker(self.model, self.calibration)


def default_model() -> ModelArtifact:
    """The formula alone, as in `DEFAULT_MODEL_DIR`."""
    card = ModelCard(FEATURES, "None: the weights of the formula are a judgment, not a fit.")
    return ModelArtifact(CLOSED_FORM, None, card)


def save(artifact: ModelArtifact, directory: Path) -> None:
    """Writes a model; the same model is always written as the same bytes.

    Raises:
        InvalidModel: when the name or the version is invalid.
        OSError: when the directory cannot be written.
    """
    content = _json(_ModelFile(calibration=artifact.calibration))
    try:
        manifest = _Manifest(
            name=artifact.model.name,
            version=artifact.model.version,
            closed_form=_Formula(),
            features=artifact.card.features,
            training_data=artifact.card.training_data,
            metrics=dict(artifact.card.metrics),
            files={MODEL: hashlib.sha256(content).hexdigest()},
        )
    except ValidationError as error:
        raise InvalidModel(problems_of(error)) from error
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MODEL).write_bytes(content)
    # Written last, so that an incomplete directory has no manifest.
    (directory / MANIFEST).write_bytes(_json(manifest))


def load(directory: Path = DEFAULT_MODEL_DIR) -> ModelArtifact:
    """Reads and verifies a model.

    Raises:
        InvalidModel: when a file is missing, changed, or made for another version of this service.
    """
    manifest_bytes = _read(directory / MANIFEST)
    manifest = _parsed(_Manifest, manifest_bytes, directory / MANIFEST)
    formula = manifest.closed_form
    if (formula.name, formula.version) != (CLOSED_FORM.name, CLOSED_FORM.version):
        raise InvalidModel(
            f"{directory} was made for the formula {formula.name}/{formula.version}; this service has "
            f"{CLOSED_FORM.name}/{CLOSED_FORM.version}: train the model again"
        )
    content = _read(directory / MODEL)
    actual, expected = hashlib.sha256(content).hexdigest(), manifest.files.get(MODEL, "")
    if actual != expected:
        raise InvalidModel(
            f"{directory / MODEL} has the SHA-256 {actual[:12]}…, but its manifest has {expected[:12]}…; "
            "copy the directory again"
        )
    calibration = _parsed(_ModelFile, content, directory / MODEL).calibration
    used = {weight.feature for weight in calibration.weights} if calibration else set()
    if unknown := {*manifest.features, *used} - set(FEATURES):
        raise InvalidModel(f"{directory} needs features that this service does not have: {', '.join(sorted(unknown))}")
    checksum = hashlib.sha256(manifest_bytes).hexdigest()
    card = ModelCard(manifest.features, manifest.training_data, manifest.metrics, checksum)
    return ModelArtifact(ModelName(manifest.name, manifest.version), calibration, card)


FileT = TypeVar("FileT", bound=BaseModel)


def _parsed(kind: type[FileT], content: bytes, path: Path) -> FileT:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise InvalidModel(f"{path} is invalid: {problems_of(error)}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{path} cannot be read ({error.strerror}); is there a model in the directory?") from error


def _json(value: BaseModel) -> bytes:
    return (json.dumps(value.model_dump(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
