"""Prompts for the language model: versioned files in `prompts/`. Answers are cached by version."""

from dataclasses import dataclass
from importlib import resources
from string import Template

from pantree_domain.catalog import CATEGORIES
from pantree_enrichment.backends.reply import INTERVAL_REASONS

# Increase it whenever a text or the schema of replies changes, so that answers to old prompts are no longer used.
PROMPT_VERSION = "v5"

# Fewer than the maximum, because models count badly.
_RELATED_ITEMS_IN_PROMPT = 3


@dataclass(frozen=True)
class Prompt:
    """One version of the prompts."""

    version: str
    system: str
    """The system message of every call."""
    _repair: Template

    def repair(self, problem: str) -> str:
        """The text to add after an unusable reply. The problem never contains words from the reply or an item."""
        return self._repair.substitute(problem=problem)


def load_prompt() -> Prompt:
    """The current version of the prompts."""
    return Prompt(
        version=PROMPT_VERSION,
        system=_template("enrich_items").substitute(
            categories=_listed(CATEGORIES),
            interval_reasons=_listed(tuple(INTERVAL_REASONS)),
            max_related=_RELATED_ITEMS_IN_PROMPT,
        ),
        _repair=_template("repair_items"),
    )


def _template(name: str) -> Template:
    file = resources.files(__package__) / "prompts" / f"{name}.{PROMPT_VERSION}.txt"
    return Template(file.read_text(encoding="utf-8").strip())


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
