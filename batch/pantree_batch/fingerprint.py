"""What a result depends on in addition to its input: code, models, data and settings."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

import pantree_batch
import pantree_domain
import pantree_enrichment
import pantree_frequency
import pantree_pipeline
import pantree_recommendation
from pantree_batch.scorer import part_settings
from pantree_domain.cadence import LADDER_VARIABLE
from pantree_runtime.settings import PartSettings, environment_variable

_PACKAGES = (
    pantree_batch,
    pantree_domain,
    pantree_enrichment,
    pantree_frequency,
    pantree_pipeline,
    pantree_recommendation,
)

# Of external systems, which a batch does not call, and of caches of their answers.
_WITHOUT_EFFECT = ("aws_", "cache_", "nim_", "redis_", "sagemaker_")


def dependencies() -> Mapping[str, str]:
    """Packages and settings that decide on recommendations, by name; files and directories as hashes."""
    found = {LADDER_VARIABLE: os.environ.get(LADDER_VARIABLE, "")}
    for package in _PACKAGES:
        assert package.__file__ is not None  # a regular package
        found[package.__name__] = _hash_of_package(Path(package.__file__).parent)
    for settings in part_settings():
        for name, value in _values(settings).items():
            variable = environment_variable(type(settings), name)
            found[variable] = _hash_of(value) if isinstance(value, Path) else repr(value)
    return found


def fingerprint() -> str:
    """Hash of the code, the models and the settings that decide on recommendations."""
    return hashlib.sha256(repr(sorted(dependencies().items())).encode()).hexdigest()


def shared_variables() -> dict[str, str]:
    """Environment variables that give another process the settings of this one, also those of a `.env` file."""
    ladder = os.environ.get(LADDER_VARIABLE)
    variables = {LADDER_VARIABLE: ladder} if ladder else {}
    for settings in part_settings():
        for name, value in _values(settings).items():
            if name in settings.model_fields_set and value is not None:
                text = str(value.resolve() if isinstance(value, Path) else value)
                variables[environment_variable(type(settings), name)] = text
    return variables


def _values(settings: PartSettings) -> dict[str, Any]:
    """The settings that decide on answers, by field."""
    # Ports and limits of servers don't.
    names = sorted(set(type(settings).model_fields) - set(PartSettings.model_fields))
    values = {name: getattr(settings, name) for name in names if not name.startswith(_WITHOUT_EFFECT)}
    return {name: value for name, value in values.items() if not isinstance(value, SecretStr)}


@functools.cache
def _hash_of_package(path: Path) -> str:
    return _hash_of(path)


def _hash_of(path: Path) -> str:
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if "__pycache__" not in file.parts and file.suffix not in {".nbi", ".nbc"}:
            digest.update(str(file.relative_to(path)).encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
