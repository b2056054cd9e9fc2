"""The catalog of ordinary groceries: what an item is, what it goes with, how it is usually bought.

The one place where a free item name gets a category. Prices are typical US shelf prices in dollars.
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
