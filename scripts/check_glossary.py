"""Checks that code and documents use the words of the glossary.

    python scripts/check_glossary.py [FILE ...]

Without files, every file that git tracks is checked. `scripts/glossary.toml` lists the words to avoid, what to write
instead, and the places where such a word is right, with the reason. Identifiers, contract names and log keys are
compared word by word, prose by phrase. Exit status 1 when anything is found.
"""

import ast
import fnmatch
import io
import re
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = Path(__file__).with_name("glossary.toml")
GENERATED = (
    "gen/*",
    "clients/typescript/src/generated/*",
    "*/package-lock.json",
    "*.binpb",
    "*.svg",
    "scripts/constraints.txt",
    "scripts/hashes.txt",
)
SUFFIXES = frozenset(
    {".py", ".proto", ".md", ".toml", ".yaml", ".yml", ".ts", ".mjs", ".sh", ".txt", ".json", ".example", ""}
)
# From Python 3.12 on, the text of an f-string is a token of its own.
STRINGS = frozenset({tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)})
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_COMMENT = re.compile(r"((?:^|\s)(?://|#|\*)\s)")
_CODE_IN_PROSE = re.compile(r"`[^`]*`|https?://\S+")
# An assignment or a definition of these languages begins with an identifier; the rest of a line is checked as prose.
_DEFINITION = re.compile(
    r"^\s*(?:export |const |let |function |class |message |enum |rpc |service |optional |repeated )*"
)


@dataclass(frozen=True)
class Finding:
    """A word that the glossary replaces."""

    path: str
    line: int
    word: str
    instead: str
    kind: str
    """`identifier` or `prose`."""

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind} {self.word!r}: write {self.instead}"


class Glossary:
    """The words to avoid.

    Args:
        configuration: content of `glossary.toml`.
    """

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._identifiers = {tuple(words.split()): instead for words, instead in configuration["identifiers"].items()}
        self._prose: dict[str, str] = configuration["prose"]
        longest_first = sorted(self._prose, key=len, reverse=True)
        phrases = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in longest_first)
        self._phrases = re.compile(rf"(?<![\w-])(?:{phrases})(?![\w-])", re.IGNORECASE)
        self._allowed: list[dict[str, Any]] = configuration.get("allow", [])

    def findings(self, path: str, text: str) -> list[Finding]:
        """Everything in a file that the glossary replaces and no exception allows.

        Args:
            path: relative to the repository, with slashes.
            text: content of the file.
        """
        pieces = _python_pieces(text) if path.endswith(".py") else _text_pieces(path, text)
        found = []
        for line, kind, piece in pieces:
            matches = self._in_identifier(piece) if kind == "identifier" else self._in_prose(piece)
            found += [
                Finding(path, line + offset, word, instead, kind)
                for offset, word, instead in matches
                if not self._is_allowed(path, word)
            ]
        return found

    def _in_identifier(self, identifier: str) -> Iterator[tuple[int, str, str]]:
        words = [word.lower() for word in _WORD.findall(identifier)]
        for avoided, instead in self._identifiers.items():
            length = len(avoided)
            if any(tuple(words[at : at + length]) == avoided for at in range(len(words) - length + 1)):
                yield 0, " ".join(avoided), f"{instead} (in {identifier})"

    def _in_prose(self, text: str) -> Iterator[tuple[int, str, str]]:
        for match in self._phrases.finditer(text):
            phrase = " ".join(match[0].lower().split())
            yield text.count("\n", 0, match.start()), phrase, self._prose[phrase]

    def _is_allowed(self, path: str, word: str) -> bool:
        return any(
            (word in exception["words"] or "*" in exception["words"])
            and any(fnmatch.fnmatch(path, pattern) for pattern in exception["files"])
            for exception in self._allowed
        )


def _python_pieces(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of every name, comment and string of a Python file."""
    defined = _names_defined(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in defined:
            yield token.start[0], "identifier", token.string
        elif token.type == tokenize.COMMENT:
            yield token.start[0], "prose", token.string
        elif token.type in STRINGS:
            yield token.start[0], "prose", _without_code(token.string)
            stripped = token.string.strip("rbuf\"'")
            if _IDENTIFIER.fullmatch(stripped):  # keys of log lines, names of fields and metrics
                yield token.start[0], "identifier", stripped


def _names_defined(text: str) -> frozenset[str]:
    """Names that a module defines itself; those of libraries are not ours to choose."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.attr)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return frozenset(names)


def _text_pieces(path: str, text: str) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of everything in a file that is not Python."""
    if path.endswith(".md"):
        yield 1, "prose", _without_code(text)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        code, mark, comment = _COMMENT.split(line, maxsplit=1) if _COMMENT.search(line) else (line, "", "")
        yield number, "prose", _without_code(code) + mark + _without_code(comment)
        if path.endswith((".proto", ".ts")):
            for identifier in _IDENTIFIER.findall(_DEFINITION.sub("", re.sub(r"\"[^\"]*\"|'[^']*'|`[^`]*`", "", code))):
                yield number, "identifier", identifier


def _without_code(text: str) -> str:
    """A text whose quoted code and addresses are blanked, so that line numbers stay."""
    return _CODE_IN_PROSE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def tracked_files() -> list[str]:
    """Files of the repository that people write."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return [
        path
        for path in listed.stdout.splitlines()
        if Path(path).suffix in SUFFIXES
        and (ROOT / path).is_file()
        and not any(fnmatch.fnmatch(path, pattern) for pattern in GENERATED)
    ]


def findings_of(paths: Iterable[str]) -> list[Finding]:
    """Everything in some files that the glossary replaces."""
    glossary = Glossary(tomllib.loads(CONFIGURATION.read_text()))
    found: list[Finding] = []
    for path in paths:
        with (ROOT / path).open("rb") as file:
            content = file.read()
        if b"\0" not in content:
            found += glossary.findings(path, content.decode())
    return found


def main(arguments: Sequence[str]) -> int:
    """Prints what was found."""
    paths = [str(Path(argument).resolve().relative_to(ROOT)) for argument in arguments] or tracked_files()
    found = findings_of(paths)
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found):,} words that the glossary replaces; scripts/glossary.toml has the list and the exceptions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
