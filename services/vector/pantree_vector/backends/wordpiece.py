"""Splits names into the pieces of a WordPiece vocabulary, as BERT models do."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# BERT also treats longer words as unknown, and the limit bounds the search for pieces.
_MAX_WORD_CHARACTERS = 100
_MAX_CACHED_WORDS = 65_536
# A token is a word, a single Chinese character, or a single character that is neither space nor part of a word.
_IDEOGRAPHS = "\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\U00020000-\U0002fa1f"
_TOKEN = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?!_)[^\W{_IDEOGRAPHS}])+|[^\w\s]|_")


class WordPieces:
    """A greedy splitter, which repeatedly takes the longest piece that the rest of a word starts with.

    Source: Wu et al., arXiv:1609.08144, section 4.1, as in BERT's uncased models.

    Args:
        vocabulary: the pieces; those inside a word start with `##`.
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self._positions = {piece: position for position, piece in enumerate(vocabulary)}
        self._pieces = lru_cache(_MAX_CACHED_WORDS)(self._find_pieces)

    def split(self, names: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pieces of `n` names in lower case, without unknown words.

        Returns:
            int[m], positions in the vocabulary of the pieces of all names, in order;
            int[n], number of pieces of each name, possibly 0.
        """
        positions: list[int] = []
        counts = np.empty(len(names), dtype=np.intp)
        for row, name in enumerate(names):
            before = len(positions)
            for word in _TOKEN.findall(name if name.isascii() else _without_accents(name)):
                positions += self._pieces(word)
            counts[row] = len(positions) - before
        return np.array(positions, dtype=np.intp), counts

    def _find_pieces(self, word: str) -> tuple[int, ...]:
        if len(word) > _MAX_WORD_CHARACTERS:
            return ()
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                position = self._positions.get(prefix + word[start:end])
                if position is not None:
                    found.append(position)
                    start = end
                    break
            else:
                return ()
        return tuple(found)


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFD", name)
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
