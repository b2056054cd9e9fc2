"""What a result depends on in addition to its input: code, models, data and settings."""

import functools
import hashlib
import os
from pathlib import Path
from typing import Any

import pantree_batch
import pantree_domain
import pantree_enrichment
import pantree_frequency
import pantree_pipeline
import pantree_recommendation
from pantree_batch.scorer import part_settings
from pantree_runtime.settings import PartSettings

_PACKAGES = (
    pantree_batch,
    pantree_domain,
    pantree_enrichment,
    pantree_frequency,
    pantree_pipeline,
    pantree_recommendation,
)


@functools.cache
def fingerprint() -> str:
    """Hash of the code, the models and the settings that decide on recommendations."""
    digest = hashlib.sha256(os.environ.get("PANTREE_LADDER", "").encode())
    for package in _PACKAGES:
        assert package.__file__ is not None  # a regular package
        _add(digest, Path(package.__file__).parent)
    for settings in part_settings():
        # Ports and limits of servers don't change answers.
        for name in sorted(set(type(settings).model_fields) - set(PartSettings.model_fields)):
            value = getattr(settings, name)
            if isinstance(value, Path):
                digest.update(name.encode())
                _add(digest, value)
            elif "key" not in name and "password" not in name and "token" not in name and "url" not in name:
                digest.update(f"{name}={value!r}\n".encode())
    return digest.hexdigest()


def _add(digest: Any, path: Path) -> None:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        if "__pycache__" not in file.parts and file.suffix not in {".nbi", ".nbc"}:
            digest.update(str(file.relative_to(path)).encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
