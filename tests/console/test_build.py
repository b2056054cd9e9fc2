"""The committed build of the console: made of the sources in the tree, small, and as its policy allows."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONSOLE = ROOT / "clients/console"
BUILD = ROOT / "gateway/pantree_gateway/console"
# As in vite.config.ts.
SOURCES = (
    "console/index.html", "console/package.json", "console/package-lock.json", "console/tsconfig.json",
    "console/vite.config.ts", "console/src", "typescript/src",
)  # fmt: skip
MAX_FIRST_LOAD_BYTES = 90 * 1024
MAX_BYTES = 250 * 1024


def digest_of_sources() -> str:
    clients = ROOT / "clients"
    files = {
        str(path.relative_to(clients)): path
        for source in SOURCES
        for path in ([clients / source] if (clients / source).is_file() else (clients / source).rglob("*"))
        if path.is_file() and clients / "typescript/src/generated" not in path.parents
    }
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def compressed_bytes(path: Path) -> int:
    return len(gzip.compress(path.read_bytes()))


def test_build_is_of_these_sources() -> None:
    built = json.loads((BUILD / "build.json").read_text())["sources"]
    assert built == digest_of_sources(), "run npm ci and npm run build in clients/console, and commit"


def test_build_is_small() -> None:
    page = (BUILD / "index.html").read_text()
    first = [BUILD / "index.html", *(BUILD / path for path in re.findall(r'(?:src|href)="\./([^"]+)"', page))]
    assert len(first) == 4
    assert sum(map(compressed_bytes, first)) <= MAX_FIRST_LOAD_BYTES
    assert sum(compressed_bytes(path) for path in BUILD.rglob("*") if path.is_file()) <= MAX_BYTES


def test_page_has_nothing_that_its_policy_forbids() -> None:
    page = (BUILD / "index.html").read_text()
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]* src=)", page)
    assert not re.findall(r'(?:src|href)="(?!\./)', page)


def test_build_contains_no_data_and_no_addresses() -> None:
    for script in BUILD.rglob("*.js"):
        text = script.read_text()
        assert "Bananas" not in text
        hosts = {host for host in re.findall(r"https?://([\w.-]+)", text) if host not in ("www.w3.org", "localhost")}
        # Plot's warnings name the pages of its documentation.
        assert hosts <= {"observablehq.com", "github.com", "preactjs.com"}, script.name


@pytest.mark.parametrize("name", ["dependencies", "devDependencies"])
def test_versions_are_exact(name: str) -> None:
    tools = json.loads((CONSOLE / "package.json").read_text())[name]
    assert {tool: version for tool, version in tools.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == {}


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((CONSOLE / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_every_text_is_in_the_file_of_texts() -> None:
    """Elements of views have no text of their own."""
    for source in CONSOLE.glob("src/**/*.tsx"):
        found = re.findall(r">\s*([A-Za-z][a-z]+ [a-z][^<>{}();=]*)<", source.read_text())
        assert found == [], source.name
