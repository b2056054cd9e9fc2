"""Prompts of the language model. The texts are versioned files in `prompts/`; answers are cached by version."""

from dataclasses import dataclass
from importlib import resources
from string import Template

from pantree_domain.catalog import CATEGORIES
from pantree_enrichment.backends.reply import INTERVAL_REASONS

# Increase it whenever a text or the schema of replies changes, so that cached answers to the old ones are not used.
PROMPT_VERSION = "v3"

# Fewer than are valid, so that a model that counts badly still passes.
_RELATED_ITEMS_IN_PROMPT = 4


@dataclass(frozen=True)
class Prompt:
    """One version of the prompts."""

    version: str
    system: str
    """The system message of every call."""
    _repair: Template

    def repair(self, problem: str) -> str:
        """What is added after an unusable reply; the problem never contains words of the reply or of an item."""
        return self._repair.substitute(problem=problem)


def load_prompt(version: str = PROMPT_VERSION) -> Prompt:
    """The prompt of a version."""
    return Prompt(
        version=version,
        system=_template("enrich_items", version).substitute(
            categories=_listed(CATEGORIES),
            interval_reasons=_listed(tuple(INTERVAL_REASONS)),
            max_related=_RELATED_ITEMS_IN_PROMPT,
        ),
        _repair=_template("repair_items", version),
    )


def _template(name: str, version: str) -> Template:
    file = resources.files(__package__) / "prompts" / f"{name}.{version}.txt"
    return Template(file.read_text(encoding="utf-8").strip())


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
