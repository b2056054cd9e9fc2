import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantree_domain.catalog.vocabulary import Vocabulary

WORDS = ["bread", "board", "plastic", "butter", "broccoli", "cracker", "crackers", "shoulder"]


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("bread", "bread"),
        ("plasti", "plastic"),
        ("crack", "cracker"),
        ("plstc", "plastic"),
        ("shldr", "shoulder"),
        ("brocoli", "broccoli"),
        ("broccolli", "broccoli"),
        ("broccloi", "broccoli"),
        ("brakkoli", "brakkoli"),  # too far away
        ("brd", "brd"),  # bread or board
        ("better", "better"),  # a word of its own
        ("btr", "btr"),  # too short
        ("zorblax", "zorblax"),
        ("", ""),
    ],
)
def test_nearest_word(word: str, nearest: str) -> None:
    assert Vocabulary(WORDS).nearest(word) == nearest


@given(st.lists(st.text("abcdest", min_size=1, max_size=9), max_size=30), st.text("abcdest", max_size=9))
def test_nearest_word_is_a_known_one_or_the_word_itself(words: list[str], word: str) -> None:
    vocabulary = Vocabulary(words)
    nearest = vocabulary.nearest(word)
    assert nearest in {*words, word}
    assert (word in vocabulary) == (word in words)
    assert all(vocabulary.nearest(known) == known for known in words)
