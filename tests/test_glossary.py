"""The check of words: what it finds, what it leaves alone."""

import tomllib

import pytest

from scripts.check_glossary import CONFIGURATION, Glossary, tracked_files

GLOSSARY = Glossary(tomllib.loads(CONFIGURATION.read_text()))


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [
        ("a.py", "LEAST_PRICE = 1\n", ["least"]),
        ("a.py", "class LongestRun:\n    pass\n", ["longest"]),
        ("a.py", "def pile_up_ratio(): ...\n", ["pile up"]),
        ("a.py", 'log.info("call", told=1)\nfields = {"told": 2}\n', ["told"]),
        ("a.py", "# The file is read\n# anew.\n", ["anew"]),
        ("a.py", '"""Runs them side\nby side."""\n', ["side by side"]),
        ("a.proto", "  int32 least_items = 1;\n", ["least"]),
        ("a.ts", "export const yardstick = 1;\n", ["yardstick"]),
        ("a.md", "It is told\nof the day.\n", ["is told"]),
        ("a.py", "min_price = min(prices)\nmost_common = collections.Counter().most_common\n", ["most"]),
    ],
)
def test_words_are_found(path: str, text: str, words: list[str]) -> None:
    assert {finding.word for finding in GLOSSARY.findings(path, text)} == set(words)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.py", "counts = collections.Counter(names).most_common(3)\n"),  # a name of the standard library
        ("a.md", "Set `LEAST_PRICE`, see https://example.com/anew.\n"),  # quoted code and addresses
        ("a.md", "At least three of the most frequent items.\n"),  # words that only identifiers avoid
        ("a.py", "background = 'ground beef'\n"),
        ("runtime/pantree_domain/catalog/items.toml", 'name = "Coffee, ground"\n'),
    ],
)
def test_other_words_are_allowed(path: str, text: str) -> None:
    assert GLOSSARY.findings(path, text) == []


def test_line_of_a_finding_is_that_of_its_first_word() -> None:
    (finding,) = GLOSSARY.findings("a.md", "one\ntwo\nthree anew\n")
    assert finding.line == 3


def test_every_exception_names_files_that_exist_and_a_reason() -> None:
    configuration = tomllib.loads(CONFIGURATION.read_text())
    tracked = tracked_files()
    for exception in configuration["allow"]:
        assert exception["reason"]
        for pattern in exception["files"]:
            plain = pattern.split("*")[0]
            assert any(path.startswith(plain) for path in tracked) or not plain, pattern
