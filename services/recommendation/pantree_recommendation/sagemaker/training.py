"""The training entry point: hyperparameters and channels in, a model out, and a word on what failed.

    input/config/hyperparameters.json    texts by name, as SageMaker writes them
    input/data/training/*.jsonl          a line for each item: its features, `bought_again`, and `household_id` if known
    input/data/validation/*.jsonl        the same; without it some households of the training rows validate
    model/                               the artefact
    output/failure                       why there is none

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo.html
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import structlog

from pantree_recommendation.backends import artefact
from pantree_recommendation.backends.artefact import Artefact, BadArtefact
from pantree_recommendation.backends.bodies import MAX_PROBLEMS, MalformedBody, item_of_object
from pantree_recommendation.core import model_id
from pantree_recommendation.sagemaker.fitting import NUMBERS, CannotFit, LabelledItem, Plan, fit, split
from pantree_recommendation.sagemaker.settings import ContainerSettings

_log = structlog.get_logger(__name__)

# SageMaker shows the first 1,024 characters of the file.
_SHOWN_CHARACTERS = 1024


def train(settings: ContainerSettings) -> int:
    """Fits a model and writes it. Returns the exit code: 1 after a failure, which is told in a file, too."""
    try:
        fitted = fitted_on(settings.input_folder)
        artefact.save(fitted, settings.model_folder)
        artefact.load(settings.model_folder)  # what cannot be read back must not be deployed
    except (CannotFit, MalformedBody, BadArtefact, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        settings.output_folder.mkdir(parents=True, exist_ok=True)
        (settings.output_folder / "failure").write_text(str(error)[:_SHOWN_CHARACTERS], "utf-8")
        return 1
    _log.info("model trained", model=model_id(fitted.model), folder=str(settings.model_folder))
    for name, value in fitted.metrics.items():
        # One line for each metric, for the regular expressions of a training job's metric definitions.
        print(f"{name}={value:g};", flush=True)
    return 0


def fitted_on(input_folder: Path) -> Artefact:
    """The model that the channels of a folder determine.

    Raises:
        CannotFit: when they do not.
        MalformedBody: naming the lines that are wrong.
        ValueError: when a hyperparameter is wrong.
        OSError: when a file cannot be read.
    """
    parameters = _hyperparameters(input_folder / "config" / "hyperparameters.json")
    plan = _plan(parameters)
    rows = list(_rows(input_folder / "data" / "training"))
    if not rows:
        raise CannotFit(f"there are no rows in {input_folder / 'data' / 'training'}; give *.jsonl files")
    validation = list(_rows(input_folder / "data" / "validation"))
    if not validation:
        rows, validation = split(rows, plan.validation_ratio)
    households = {row.household_id for row in rows if row.household_id}
    counted = f"{len(rows):,} labelled items" + (f" of {len(households):,} households" if households else "")
    statement = parameters.get("training_data", "")
    return fit(rows, validation, plan, f"{statement} ({counted})" if statement else counted)


def _hyperparameters(path: Path) -> Mapping[str, str]:
    if not path.exists():
        return {}
    content = json.loads(path.read_text("utf-8"))
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise ValueError(f"{path} is no JSON object of texts")
    known = {"name", "version", "features", "ridge", "validation_ratio", "training_data"}
    if unknown := set(content) - known:
        raise ValueError(f"no such hyperparameter: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return content


def _plan(parameters: Mapping[str, str]) -> Plan:
    usual = Plan()
    features = parameters.get("features", ",".join(NUMBERS))
    plan = Plan(
        name=parameters.get("name", usual.name),
        version=parameters.get("version", usual.version),
        features=tuple(name.strip() for name in features.split(",") if name.strip()),
        ridge=_number(parameters, "ridge", usual.ridge),
        validation_ratio=_number(parameters, "validation_ratio", usual.validation_ratio),
    )
    if not plan.ridge >= 0:
        raise ValueError(f"the hyperparameter ridge is {plan.ridge:g}; give 0 or more")
    if not 0 < plan.validation_ratio < 1:
        raise ValueError(f"the hyperparameter validation_ratio is {plan.validation_ratio:g}; give a number from 0 to 1")
    return plan


def _number(parameters: Mapping[str, str], name: str, usual: float) -> float:
    try:
        return float(parameters.get(name, usual))
    except ValueError:
        raise ValueError(f"the hyperparameter {name} is {parameters[name]!r}; give a number") from None


def _rows(folder: Path) -> Iterator[LabelledItem]:
    for path in sorted(folder.glob("*.jsonl")):
        problems: list[tuple[int, str]] = []
        with path.open(encoding="utf-8") as lines:
            for position, line in enumerate(lines, start=1):
                try:
                    yield _row(json.loads(line))
                except ValueError as error:
                    what = "is no valid JSON" if isinstance(error, json.JSONDecodeError) else str(error)
                    problems.append((position, f"{what} ({path.name})"))
                    if len(problems) == MAX_PROBLEMS:
                        break
        if problems:
            raise MalformedBody(problems)


def _row(content: Any) -> LabelledItem:
    features = item_of_object(content)
    bought_again = content.get("bought_again")
    if bought_again not in (0, 1):  # True and False are equal to them
        raise ValueError("bought_again is neither true nor false")
    return LabelledItem(features, bool(bought_again), str(content.get("household_id", "")))
