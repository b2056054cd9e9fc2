"""Models in folders, and a small file that says which of them answers whom; the file is read again when it changes.

    {"experiment": "calibration", "shares": [{"model": "sagemaker", "ratio": 0.9},
     {"model": "embedded-calibrated/3", "ratio": 0.1}], "fallback": "embedded-heuristic/2"}

Rolling back is writing the former file again: the next question is answered by it, without a restart. A file that is
wrong changes nothing but `selection_error`, which GetModel tells; so does a folder that is wrong.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from pantree_recommendation.backends import artefact
from pantree_recommendation.backends.artefact import Artefact, BadArtefact
from pantree_recommendation.core import ModelCard, Models, Ranker, Selection, Share, model_id

_log = structlog.get_logger(__name__)

SAGEMAKER_ID = "sagemaker"


class ModelFolders:
    """The models that ship, those in a folder, and SageMaker if there is one; which of them answers is up to a file."""

    def __init__(
        self,
        *,
        remote: Ranker | None = None,
        remote_card: ModelCard | None = None,
        folder: Path | None = None,
        selection_file: Path | None = None,
        reload_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Reads everything once.

        Args:
            remote: a model behind an endpoint, with the id `sagemaker`.
            remote_card: what is known of it.
            folder: holds one folder for each further model.
            selection_file: says which one answers; without it SageMaker does, or the formula that ships.
            reload_seconds: how long the file is not looked at again.
            clock: seconds, never going backwards.

        Raises:
            OSError: when a model or the file is wrong.
        """
        self._remote = remote
        self._remote_card = remote_card or ModelCard()
        self._folder = folder
        self._selection_file = selection_file
        self._reload_seconds = reload_seconds
        self._clock = clock
        self._artefacts: dict[str, Artefact] = {}
        self._rankers: dict[str, Ranker] = {}
        self._reloading = asyncio.Lock()
        self._looked_at = clock()
        self._seen = self._signature()
        try:
            self._models = self._read()
        except (BadArtefact, ValueError) as error:
            raise OSError(f"the models cannot be loaded: {error}") from error

    async def current(self) -> Models:
        """The models now; looks at the file if that was long enough ago."""
        if self._selection_file is not None and self._clock() - self._looked_at >= self._reload_seconds:
            async with self._reloading:
                # Whoever waited for the lock finds it done.
                if self._clock() - self._looked_at >= self._reload_seconds:
                    await asyncio.to_thread(self._look_again)
        return self._models

    def _look_again(self) -> None:
        signature = self._signature()
        self._looked_at = self._clock()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self._models = self._read()
        except (BadArtefact, ValueError, OSError) as error:
            self._models = replace(self._models, selection_error=str(error))
            _log.error("selection refused", reason=str(error))
        else:
            shares = {share.model: share.ratio for share in self._models.selection.shares}
            _log.info("selection read", shares=shares, fallback=self._models.selection.fallback)

    def _signature(self) -> tuple[int, ...]:
        """Changes with the file, also when a folder of links is swapped as Kubernetes does it."""
        if self._selection_file is None:
            return ()
        try:
            status = os.stat(self._selection_file)
        except OSError:
            return ()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> Models:
        """The models on disk; raises `BadArtefact`, `ValueError` or `OSError` when they cannot answer.

        A folder that is wrong, perhaps copied half, keeps nobody from going back to another model: it is left out and
        told.
        """
        found, problems = self._found()
        shipped = next(iter(found))
        rankers: dict[str, Ranker] = {
            # One ranker for each model, however often the file changes.
            id_: self._rankers[id_] if self._artefacts.get(id_) == entry else entry.ranker()
            for id_, entry in found.items()
        }
        cards = {id_: entry.card() for id_, entry in found.items()}
        first = shipped
        if self._remote is not None:
            rankers[SAGEMAKER_ID], cards[SAGEMAKER_ID] = self._remote, self._remote_card
            first = SAGEMAKER_ID
        if self._selection_file is None:
            selection = Selection((Share(first, 1.0),), shipped)
        else:
            selection = selection_of(_text(self._selection_file), fallback=shipped)
        try:
            models = Models(rankers, selection, cards, "; ".join(problems))
        except ValueError as error:
            raise ValueError("; ".join([str(error), *problems])) from error
        for problem in problems:
            _log.error("model refused", reason=problem)
        self._artefacts, self._rankers = found, rankers
        return models

    def _found(self) -> tuple[dict[str, Artefact], list[str]]:
        """The models by id, the formula that ships first, and what is wrong with other folders."""
        shipped = artefact.load(artefact.SHIPPED)
        found, problems = {model_id(shipped.model): shipped}, []
        own = [] if self._folder is None else [path.parent for path in self._folder.glob(f"*/{artefact.MANIFEST}")]
        for folder in [artefact.FITTED, *sorted(own)]:
            try:
                entry = artefact.load(folder)
            except BadArtefact as error:
                problems.append(str(error))
                continue
            id_ = model_id(entry.model)
            # What was loaded once keeps its name as long as this process runs.
            known = found.get(id_) or self._artefacts.get(id_)
            if known is not None and known != entry:
                problems.append(f"{folder} holds another model under the name {id_}; give it a version of its own")
            found[id_] = known or entry
        return found, problems


def selection_of(text: str, *, fallback: str) -> Selection:
    """The selection that a file holds.

    Args:
        text: content of the file.
        fallback: id of the model that stands in when the file names none.

    Raises:
        ValueError: naming what is wrong.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError('the selection is no JSON object with "shares"')
    if unknown := set(content) - {"experiment", "shares", "fallback"}:
        raise ValueError(
            f'the selection has {", ".join(sorted(unknown))}; it may have "experiment", "shares", "fallback"'
        )
    shares = content.get("shares")
    if not isinstance(shares, list):
        raise ValueError('"shares" is no list of models with their ratios')
    return Selection(
        tuple(_share(entry, position) for position, entry in enumerate(shares)),
        _word(content.get("fallback", fallback), '"fallback"'),
        _word(content.get("experiment", ""), '"experiment"'),
    )


def _share(entry: object, position: int) -> Share:
    if not isinstance(entry, Mapping) or set(entry) != {"model", "ratio"}:
        raise ValueError(f'"shares"[{position}] is no object with "model" and "ratio"')
    ratio: Any = entry["ratio"]
    if isinstance(ratio, bool) or not isinstance(ratio, int | float):
        raise ValueError(f'"shares"[{position}]: "ratio" is no number')
    return Share(_word(entry["model"], f'"shares"[{position}]: "model"'), float(ratio))


def _word(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
