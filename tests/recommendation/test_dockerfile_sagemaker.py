"""The image for SageMaker: lint, and the same as the service's own but for what SageMaker asks for."""

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "services" / "recommendation"


def lines(name: str) -> list[str]:
    return [line for line in (FOLDER / name).read_text().splitlines() if not line.startswith("#")]


def test_dockerfile_has_no_finding() -> None:
    hadolint = shutil.which("hadolint") or str(Path(sys.executable).with_name("hadolint"))
    result = subprocess.run([hadolint, str(FOLDER / "Dockerfile.sagemaker")], capture_output=True, text=True)
    assert result.stdout + result.stderr == ""


def test_dockerfile_is_that_of_the_service_but_for_extra_user_and_program() -> None:
    service = [line.replace("EXTRAS=recommendation", "EXTRAS=sagemaker") for line in lines("Dockerfile")]
    service.remove("USER 10001:10001")
    service[-1] = 'ENTRYPOINT ["python", "-m", "pantree_recommendation.sagemaker"]'
    assert lines("Dockerfile.sagemaker") == service
