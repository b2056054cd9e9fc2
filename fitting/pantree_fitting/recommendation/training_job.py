"""A SageMaker training job, which reads hyperparameters and channels and writes a model.

    input/config/hyperparameters.json    strings by name, as SageMaker writes them
    input/data/training/*.jsonl          a line per item: features, `bought_again`, and `household_id` if known
    input/data/validation/*.jsonl        the same; if missing, a share of the training households is held out
    model/                               the model
    output/failure                       why training failed

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import structlog
from pydantic import BaseModel, ValidationError

from pantree_fitting.recommendation.ranking_models import CannotFit, Hyperparameters, LabeledItem, fit, split
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import MAX_PROBLEMS, BodyFormat, MalformedBody, item_of
from pantree_recommendation.backends.invalid_fields import problems_of
from pantree_recommendation.backends.model_artifact import InvalidModel, ModelArtifact
from pantree_recommendation.core.selection import model_id

_log = structlog.get_logger(__name__)

# SageMaker shows the first 1,024 characters of the file.
_MAX_FAILURE_CHARACTERS = 1024


def train(input_dir: Path, model_dir: Path, output_dir: Path) -> int:
    """Fits and writes a model. Returns the exit code: 0, or 1 after writing the failure file."""
    try:
        model = train_on(input_dir)
        model_artifact.save(model, model_dir)
        model_artifact.load(model_dir)  # checks that the model can be loaded
    except (CannotFit, MalformedBody, InvalidModel, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        output_dir.mkdir(parents=True, exist_ok=True)
        (output_dir / "failure").write_text(str(error)[:_MAX_FAILURE_CHARACTERS], "utf-8")
        return 1
    _log.info("model trained", model=model_id(model.model), directory=str(model_dir))
    for name, value in model.card.metrics.items():
        # One line per metric, to match the regular expressions of a training job's metric definitions.
        print(f"{name}={value:g};", flush=True)
    return 0


def train_on(input_dir: Path) -> ModelArtifact:
    """The model fitted on the channels of a directory.

    Raises:
        CannotFit: if there are no rows, or a model cannot be fitted on them.
        MalformedBody: if lines are invalid.
        ValueError: if a hyperparameter is invalid.
        OSError: if a file cannot be read.
    """
    parameters = _read_hyperparameters(input_dir / "config" / "hyperparameters.json")
    rows = list(_rows(input_dir / "data" / "training"))
    if not rows:
        raise CannotFit(f"there are no rows in {input_dir / 'data' / 'training'}; add *.jsonl files")
    validation = list(_rows(input_dir / "data" / "validation"))
    if not validation:
        rows, validation = split(rows, parameters.validation_ratio)
    households = {row.household_id for row in rows if row.household_id}
    counts = f"{len(rows):,} labeled items" + (f" of {len(households):,} households" if households else "")
    training_data = f"{parameters.training_data} ({counts})" if parameters.training_data else counts
    return fit(rows, validation, parameters, training_data)


def _read_hyperparameters(path: Path) -> Hyperparameters:
    if not path.exists():
        return Hyperparameters()
    try:
        return Hyperparameters.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path} is invalid: {problems_of(error)}") from error


class _Labels(BaseModel):
    bought_again: bool
    household_id: str = ""


def _rows(directory: Path) -> Iterator[LabeledItem]:
    for path in sorted(directory.glob("*.jsonl")):
        problems: list[tuple[int, str]] = []
        with path.open("rb") as lines:
            for position, line in enumerate(lines, start=1):
                try:
                    yield _row(line)
                except ValueError as error:
                    problem = problems_of(error) if isinstance(error, ValidationError) else str(error)
                    problems.append((position, f"{problem} ({path.name})"))
                    if len(problems) == MAX_PROBLEMS:
                        break
        if problems:
            raise MalformedBody(problems)


def _row(line: bytes) -> LabeledItem:
    labels = _Labels.model_validate_json(line)
    return LabeledItem(item_of(line, BodyFormat.JSON_LINES), labels.bought_again, labels.household_id)
