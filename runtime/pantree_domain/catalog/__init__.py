"""The catalog of ordinary groceries: categories, complements, and typical prices and intervals.

Only the catalog assigns categories to free item names. Prices are typical US shelf prices in dollars.
"""

from pantree_domain.catalog.catalog import Catalog, Categorization, load_catalog
from pantree_domain.catalog.item import CATEGORIES, OTHER, CatalogItem, Perishability
from pantree_domain.catalog.names import normalize_name

__all__ = [
    "CATEGORIES",
    "OTHER",
    "Catalog",
    "CatalogItem",
    "Categorization",
    "Perishability",
    "load_catalog",
    "normalize_name",
]
