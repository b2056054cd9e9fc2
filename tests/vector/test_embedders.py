import subprocess
import sys
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pantree_vector.backends.caching import CachedEmbedder
from pantree_vector.backends.hashing import HashedTrigrams
from pantree_vector.core import EmbeddingModel, Vectors
from pantree_vector.core.identity import normalise_name

EMBEDDER = HashedTrigrams()

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


@unhurried
@given(st.lists(names, max_size=10))
def test_vectors_have_unit_norm_and_depend_on_the_name_alone(texts: list[str]) -> None:
    normalised = [normalise_name(text) for text in texts]
    vectors = EMBEDDER.embed(normalised)
    assert vectors.shape == (len(texts), 256)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-5)
    for name, vector in zip(normalised, vectors, strict=True):
        assert EMBEDDER.embed([name])[0].tolist() == vector.tolist()


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


def test_vectors_are_the_same_in_another_process() -> None:
    code = (
        "from pantree_vector.backends.hashing import HashedTrigrams;"
        "print(HashedTrigrams().embed(['oat milk', 'straße ☕']).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == EMBEDDER.embed(["oat milk", "straße ☕"]).tobytes().hex()


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
