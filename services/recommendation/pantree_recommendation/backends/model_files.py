"""Loads the models and the selection file, and reloads them when the selection file changes.

    {"experiment": "calibration", "shares": [{"model": "sagemaker", "ratio": 0.9},
     {"model": "embedded-calibrated/3", "ratio": 0.1}], "fallback": "embedded-heuristic/2"}

To roll back, restore the previous file; this takes effect without a restart. If a file or a model directory is invalid,
the previous selection stays in effect, and GetModel returns the problem as `selection_error`.
"""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, StrictFloat, ValidationError

from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.backends.model_artifact import InvalidModel, ModelArtifact
from pantree_recommendation.core.ranking import Ranker
from pantree_recommendation.core.selection import ModelCard, Models, Selection, Share, model_id

_log = structlog.get_logger(__name__)

SAGEMAKER_ID = "sagemaker"


class _Share(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str
    ratio: StrictFloat


class _SelectionFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    shares: list[_Share]
    fallback: str = ""
    experiment: str = ""


class ModelFiles:
    """The bundled models, those in a directory, and the SageMaker model, with the selection from a file."""

    def __init__(
        self,
        *,
        remote: Ranker | None = None,
        remote_card: ModelCard | None = None,
        models_dir: Path | None = None,
        selection_file: Path | None = None,
        reload_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads all files.

        Args:
            remote: the SageMaker model, with the id `sagemaker`.
            remote_card: its description.
            models_dir: has one subdirectory per further model.
            selection_file: without it, SageMaker answers if it is configured, else the default model.
            reload_seconds: how often the selection file is checked.
            clock: monotonic seconds.

        Raises:
            OSError: when a bundled model or the selection file is invalid.
        """
        self._remote = remote
        self._remote_card = remote_card or ModelCard()
        self._models_dir = models_dir
        self._selection_file = selection_file
        self._reload_seconds = reload_seconds
        self._clock = clock
        self._artifacts: dict[str, ModelArtifact] = {}
        self._rankers: dict[str, Ranker] = {}
        self._reload_lock = asyncio.Lock()
        self._checked_at = clock()
        self._signature = self._read_signature()
        try:
            self._models = self._read_models()
        except (InvalidModel, ValueError) as error:
            raise OSError(f"the models cannot be loaded: {error}") from error

    async def current(self) -> Models:
        if self._is_check_due():
            async with self._reload_lock:
                if self._is_check_due():  # the previous holder of the lock may have checked it
                    await asyncio.to_thread(self._reload_if_changed)
        return self._models

    def _is_check_due(self) -> bool:
        return self._selection_file is not None and self._clock() - self._checked_at >= self._reload_seconds

    def _reload_if_changed(self) -> None:
        signature = self._read_signature()
        self._checked_at = self._clock()
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._models = self._read_models()
        except (InvalidModel, ValueError, OSError) as error:
            self._models = replace(self._models, selection_error=str(error))
            _log.error("selection rejected", reason=str(error))
        else:
            shares = {share.model: share.ratio for share in self._models.selection.shares}
            _log.info("selection loaded", shares=shares, fallback=self._models.selection.fallback)

    def _read_signature(self) -> tuple[int, ...]:
        """Changes when the file changes, also when Kubernetes swaps the symbolic link to its directory."""
        if self._selection_file is None:
            return ()
        try:
            status = os.stat(self._selection_file)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read_models(self) -> Models:
        """The models on disk.

        An invalid directory, perhaps one that is still being copied, is reported and skipped, so that the others can
        still be selected.

        Raises:
            InvalidModel: when the default model is invalid.
            ValueError: when the selection is invalid.
        """
        artifacts, problems = self._read_artifacts()
        default = next(iter(artifacts))
        rankers: dict[str, Ranker] = {
            # A model keeps its ranker when the selection changes.
            id_: self._rankers[id_] if self._artifacts.get(id_) == artifact else artifact.ranker()
            for id_, artifact in artifacts.items()
        }
        cards = {id_: artifact.card for id_, artifact in artifacts.items()}
        first = default
        if self._remote is not None:
            rankers[SAGEMAKER_ID], cards[SAGEMAKER_ID] = self._remote, self._remote_card
            first = SAGEMAKER_ID
        if self._selection_file is None:
            selection = Selection((Share(first, 1.0),), default)
        else:
            selection = read_selection(self._selection_file, fallback=default)
        try:
            models = Models(rankers, selection, cards, "; ".join(problems))
        except ValueError as error:
            raise ValueError("; ".join([str(error), *problems])) from error
        for problem in problems:
            _log.error("model rejected", reason=problem)
        self._artifacts, self._rankers = artifacts, rankers
        return models

    def _read_artifacts(self) -> tuple[dict[str, ModelArtifact], list[str]]:
        """The models by id, the default one first, and the problems of invalid directories."""
        default = model_artifact.load()
        artifacts, problems = {model_id(default.model): default}, []
        own = [] if self._models_dir is None else self._models_dir.glob(f"*/{model_artifact.MANIFEST}")
        for directory in [model_artifact.CALIBRATED_MODEL_DIR, *sorted(path.parent for path in own)]:
            try:
                artifact = model_artifact.load(directory)
            except InvalidModel as error:
                problems.append(str(error))
                continue
            id_ = model_id(artifact.model)
            # An id of a loaded model is not reused until this process ends.
            known = artifacts.get(id_) or self._artifacts.get(id_)
            if known is not None and known != artifact:
                problems.append(f"{directory} has another model with the id {id_}; give it a version of its own")
            artifacts[id_] = known or artifact
        return artifacts, problems


def read_selection(path: Path, *, fallback: str) -> Selection:
    """The selection in a file; `fallback` is the id of the fallback model if the file names none.

    Raises:
        ValueError: when the file cannot be read or is invalid.
    """
    try:
        content = _SelectionFile.model_validate_json(path.read_bytes())
        shares = tuple(Share(share.model, share.ratio) for share in content.shares)
        return Selection(shares, content.fallback or fallback, content.experiment)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise ValueError(f"{path} is invalid: {problems_of(error)}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
