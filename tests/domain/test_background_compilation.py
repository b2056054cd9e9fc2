"""Functions that stay Python until they are compiled in another process; answers are the same."""

import os
import subprocess
import sys
from pathlib import Path

KERNELS = """
from pantree_domain.compiled import compiled, inlined, is_interpreted, mark_compiled, switch_to_compiled

@inlined
def half(number):
    return number / 2

@compiled()
def outer(number):
    return inner(number) + half(number)

@compiled()
def inner(number):
    return 2 * number
"""
USER = """
import pantree_kernels
from pantree_kernels import is_interpreted, mark_compiled, outer, switch_to_compiled

def is_machine_code():
    return hasattr(pantree_kernels.outer, "nopython_signatures")
"""


def run(folder: Path, code: str, compile_mode: str) -> str:
    path = os.pathsep.join([str(folder), *sys.path])
    variables = {**os.environ, "PANTREE_COMPILE": compile_mode, "PYTHONPATH": path, "NUMBA_DISABLE_JIT": "0"}
    result = subprocess.run(
        [sys.executable, "-c", f"from pantree_user import *\n{code}"],
        cwd=folder, env=variables, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_functions_are_interpreted_until_another_process_has_compiled_them(tmp_path: Path) -> None:
    (tmp_path / "pantree_kernels.py").write_text(KERNELS)
    (tmp_path / "pantree_user.py").write_text(USER)
    state = "print(is_interpreted(), is_machine_code(), outer(21))"
    assert run(tmp_path, state, "background") == "True False 52.5"
    # Calls of an interpreted process do not count as compiled.
    run(tmp_path, "outer(21); mark_compiled()", "background")
    assert run(tmp_path, state, "background") == "True False 52.5"

    assert run(tmp_path, f"{state}; mark_compiled()", "first") == "False True 52.5"
    assert run(tmp_path, state, "background") == "False True 52.5"


def test_switch_makes_every_module_call_machine_code(tmp_path: Path) -> None:
    (tmp_path / "pantree_kernels.py").write_text(KERNELS)
    (tmp_path / "pantree_user.py").write_text(USER)
    code = """
before = outer
assert outer(21) == 52.5
switch_to_compiled()
import pantree_user
assert pantree_user.outer is pantree_kernels.outer is not before
print(is_interpreted(), is_machine_code(), pantree_user.outer(21), before(21), len(pantree_kernels.outer.signatures))
"""
    assert run(tmp_path, code, "background") == "False True 52.5 52.5 1"


def test_changed_source_is_interpreted_again(tmp_path: Path) -> None:
    (tmp_path / "pantree_kernels.py").write_text(KERNELS)
    (tmp_path / "pantree_user.py").write_text(USER)
    run(tmp_path, "outer(21); mark_compiled()", "first")
    (tmp_path / "pantree_kernels.py").write_text(KERNELS.replace("2 * number", "3 * number"))
    assert run(tmp_path, "print(is_interpreted(), outer(2))", "background") == "True 7.0"
