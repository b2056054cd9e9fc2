"""The examples of the documentation run unchanged except for the address."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.mesh import RunningMesh

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()

# The example of the original API, with the function that it calls but does not define.
JAVASCRIPT = """
function updateProgress(progress) { console.log('Progress:', progress); }

const ws = new WebSocket('ws://localhost:8000/ws/stream/cust_001');

ws.onopen = () => {
  ws.send(JSON.stringify({
    items: [
      {name: 'Bananas', price: 1.99},
      {name: 'Milk', price: 5.49}
    ],
    archetype: 'health_conscious'
  }));
};

ws.onmessage = (event) => {
  const message = JSON.parse(event.data);

  switch(message.type) {
    case 'started':
      console.log('Processing started');
      break;
    case 'monthly_update':
      console.log('Month:', message.data.month_display);
      updateProgress(message.data.progress);
      break;
    case 'completed':
      console.log('Recommendations:', message.data.recommendations);
      break;
    case 'error':
      console.error('Error:', message.error);
      break;
  }
};
"""


def node_with_websocket() -> str | None:
    """Node.js, if it is installed and has the browsers' WebSocket."""
    node = shutil.which("node")
    if node is None:
        return None
    check = [node, "--experimental-websocket", "-e", "process.exit(typeof WebSocket === 'function' ? 0 : 1)"]
    return node if subprocess.run(check, capture_output=True).returncode == 0 else None


NODE = node_with_websocket()


@pytest.mark.skipif(NODE is None, reason="needs Node.js 20 or newer, which has the browsers' WebSocket")
def test_javascript_of_the_original_api(mesh: RunningMesh) -> None:
    assert NODE is not None
    script = JAVASCRIPT.replace("localhost:8000", mesh.address("gateway"))
    result = subprocess.run(
        [NODE, "--experimental-websocket", "-e", script], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    first, *months_and_progress = result.stdout.splitlines()[:13]
    assert first == "Processing started"
    assert [line.split(":")[0] for line in months_and_progress] == ["Month", "Progress"] * 6
    assert months_and_progress[-1] == "Progress: 100"
    assert "Recommendations: {" in result.stdout
    assert "Error" not in result.stderr


def test_python_of_the_readme(mesh: RunningMesh, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(code.replace("127.0.0.1:50051", mesh.address("pipeline")))
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert re.search(
        r"^\S.* (weekly|biweekly|every_3_weeks|monthly|every_6_weeks|bimonthly|quarterly) [\d.]+$",
        result.stdout,
        re.MULTILINE,
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_of_the_readme(mesh: RunningMesh) -> None:
    (block,) = re.findall(r"```bash\n(curl.*?)```", README, re.DOTALL)
    script = block.replace("http://localhost:8000", mesh.http).replace("curl ", "curl --fail --silent --show-error ")
    result = subprocess.run(["bash", "-e", "-c", script], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert '"status":"healthy"' in result.stdout
    assert '"recommendation_id"' in result.stdout


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run_example(mesh: RunningMesh, *command: str) -> str:
    environment = {**os.environ, "PANTREE_URL": mesh.http}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=EXAMPLES.parent)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_example_of_the_python_client(mesh: RunningMesh) -> None:
    output = run_example(mesh, sys.executable, "examples/client.py")
    assert re.search(r"^COF-1 Coffee beans 1 kg every_3_weeks 20", output, re.MULTILINE)
    assert "Birthday candles" not in output


def test_example_of_a_replay(mesh: RunningMesh) -> None:
    *weeks, last = run_example(mesh, sys.executable, "examples/what_if.py").splitlines()
    assert len(weeks) == 8
    saved = float(re.findall(r"-?[\d.]+$", weeks[-1])[0])
    promised, without_stock = map(float, re.findall(r"-?\d+\.\d+", last))
    assert promised > 0
    assert without_stock >= saved


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_example_with_curl(mesh: RunningMesh) -> None:
    assert '"recommendation_id"' in run_example(mesh, "bash", "examples/rest.sh")


@pytest.mark.skipif(NODE is None, reason="needs Node.js 20 or newer, which has the browsers' WebSocket")
def test_example_with_a_websocket(mesh: RunningMesh) -> None:
    assert NODE is not None
    lines = run_example(mesh, NODE, "--experimental-websocket", "examples/stream.mjs").splitlines()
    assert [line.split()[-1] for line in lines[:6]][-1] == "100"
    assert len(lines) > 6


@pytest.mark.parametrize(
    "arguments", [["examples/first-purchase.json"], ["--history", "examples/purchases.csv"]], ids=["first", "history"]
)
def test_examples_of_the_command_line(mesh: RunningMesh, arguments: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pantree_cli",
        "process",
        *arguments,
        "--address",
        mesh.address("pipeline"),
        "--json",
    ]
    first, second = (run_example(mesh, *command) for _ in range(2))
    assert first == second
    answer = json.loads(first)
    ids = {item["name"]: item["item_id"] for item in answer["recommendations"]["recommendations"]}
    if "--history" in arguments:
        assert ids["Coffee beans 1 kg"] == "COF-1"
        assert answer["recommendations"]["plan"]["annual_savings_vs_paid"] > 0
    assert ids
