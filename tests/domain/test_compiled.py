import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pantree_domain.compiled import compiled


def test_function_without_a_cache_is_compiled() -> None:
    # Code without a file has no cache directory, like code in a read-only container.
    namespace: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number", namespace)
    assert compiled()(namespace["double"])(21) == 42


KERNEL = """
from pantree_domain.compiled import compiled

@compiled()
def double(number):
    return 2 * number

print(double(21), len(double.stats.cache_hits))
"""


def test_code_compiled_at_installation_is_loaded_from_a_read_only_directory(tmp_path: Path) -> None:
    source = tmp_path / "kernel.py"
    source.write_text(KERNEL)
    # No home directory, so that numba caches nothing there; root gives up its right to write anywhere.
    variables = {**os.environ, "HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": ""}
    giving_up = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override"]

    def run(code: str, *before: str) -> str:
        command = [*before, sys.executable, "-c", code]
        result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run("import kernel") == "42 0\n"
    kept = tmp_path / "__pycache__"
    files = sorted(kept.iterdir())
    assert [file.suffix for file in files if file.suffix == ".nbc"] == [".nbc"]
    kept.chmod(0o555)
    try:
        # Another type was not compiled at installation: it is compiled now, and not cached.
        assert run("import kernel; print(kernel.double(1.5))", *giving_up) == "42 1\n3.0\n"
        assert sorted(kept.iterdir()) == files
    finally:
        kept.chmod(0o755)


def test_code_that_another_user_compiled(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    variables = {**os.environ, "HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": ""}

    def run(*before: str) -> str:
        command = [*before, sys.executable, "-c", "import os; os.umask(0o077); import kernel"]
        result = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run() == "42 0\n"
    found = [file for file in (tmp_path / "__pycache__").iterdir() if file.suffix in (".nbi", ".nbc")]
    assert len(found) == 2
    assert all(file.stat().st_mode & 0o444 == 0o444 for file in found)
    assert (tmp_path / "__pycache__").stat().st_mode & 0o555 == 0o555
    # As another user would see private files of an older version: root gives up its right to read anything.
    for file in found:
        file.chmod(0)
    giving_up = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    assert run(*giving_up) == "42 0\n"


POINT = """
from typing import NamedTuple
from pantree_domain.compiled import compiled

class {name}(NamedTuple):
    x: int

@compiled()
def double(point):
    return 2 * point.x

print(double({name}(21)), len(double.stats.cache_hits))
"""


def test_function_compiled_for_a_type_that_was_renamed_is_compiled_again(tmp_path: Path) -> None:
    variables = {**os.environ, "NUMBA_CACHE_DIR": ""}

    def run(type_name: str) -> str:
        (tmp_path / "kernel.py").write_text(POINT.format(name=type_name))
        command = [sys.executable, "-c", "import kernel"]
        return subprocess.run(command, cwd=tmp_path, env=variables, check=True, capture_output=True, text=True).stdout

    assert run("Point") == "42 0\n"
    assert run("Point") == "42 1\n"
    assert run("Spot") == "42 0\n"
    assert run("Spot") == "42 1\n"


def test_caller_is_compiled_again_when_a_function_of_another_module_changes(tmp_path: Path) -> None:
    definition = "from pantree_domain.compiled import compiled\n\n@compiled()\ndef {}\n"
    (tmp_path / "caller.py").write_text(
        "from callee import step\n" + definition.format("total(n):\n    return step(n) + 1")
    )
    variables = {**os.environ, "NUMBA_CACHE_DIR": ""}

    def run(step: str) -> str:
        (tmp_path / "callee.py").write_text(definition.format(f"step(n):\n    return {step}"))
        code = "import caller; print(caller.total(20), len(caller.total.stats.cache_hits))"
        result = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=variables, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert run("n * 2") == "41 0\n"
    assert run("n * 2") == "41 1\n"
    assert run("n * 3") == "61 0\n"
