"""The catalog of ordinary groceries: categories, complements, and typical prices and intervals.

Only the catalog assigns categories to free item names. Prices are typical US shelf prices in dollars.
"""

from pantree_domain.catalog.catalog import Catalog, Categorization, load_catalog
from pantree_domain.catalog.item import CATEGORIES, OTHER, CatalogItem, Perishability, Trait
from pantree_domain.catalog.names import normalize_name
from pantree_domain.catalog.variants import PackClass, Variant, variants_of

__all__ = [
    "CATEGORIES",
    "OTHER",
    "Catalog",
    "CatalogItem",
    "Categorization",
    "PackClass",
    "Perishability",
    "Trait",
    "Variant",
    "load_catalog",
    "normalize_name",
    "variants_of",
]
