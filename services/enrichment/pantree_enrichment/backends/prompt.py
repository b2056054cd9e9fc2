"""What a language model is told. The texts are files under `prompts/`, by version; answers are kept by version, too."""

from dataclasses import dataclass
from importlib import resources
from string import Template

from pantree_domain.catalog import CATEGORIES
from pantree_enrichment.backends.reply import INTERVAL_REASONS

# A text that changes, or the reply's schema, gets a new version: answers to the old one must not be taken for new ones.
PROMPT_VERSION = "v2"

# Fewer than the check allows, so that a model that counts badly still passes.
_RELATED_ITEMS_ASKED = 4


@dataclass(frozen=True)
class Prompt:
    """What a model is told, in one version."""

    version: str
    system: str
    """Goes before every list of items."""
    _repair: Template

    def repair(self, problem: str) -> str:
        """What it is told when a reply was of no use.

        Args:
            problem: what was wrong; never words of the reply or of an item.
        """
        return self._repair.substitute(problem=problem)


def load_prompt(version: str = PROMPT_VERSION) -> Prompt:
    """The prompt of a version."""
    return Prompt(
        version=version,
        system=_template("enrich_items", version).substitute(
            categories=_listed(CATEGORIES),
            interval_reasons=_listed(tuple(INTERVAL_REASONS)),
            max_related=_RELATED_ITEMS_ASKED,
        ),
        _repair=_template("repair_items", version),
    )


def _template(name: str, version: str) -> Template:
    file = resources.files(__package__) / "prompts" / f"{name}.{version}.txt"
    return Template(file.read_text(encoding="utf-8").strip())


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f'"{word}"' for word in words)
