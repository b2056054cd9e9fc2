import tarfile
from pathlib import Path

import httpx
from typer.testing import CliRunner

from pantree_cli.app import app
from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import BodyFormat, predictions, request_bodies
from tests.recommendation.container_process import container, until_loaded
from tests.recommendation.evidence import features


def package(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sagemaker", "package", *arguments])
    return result.exit_code, result.output


async def test_packaged_model_is_served_by_the_container(tmp_path: Path) -> None:
    archive = tmp_path / "out" / "model.tar.gz"
    code, output = package(str(archive))
    assert code == 0, output
    unpacked = tmp_path / "model"
    with tarfile.open(archive) as files:
        assert sorted(files.getnames()) == ["MODEL_CARD.md", "manifest.json", "model.json"]
        files.extractall(unpacked, filter="data")
    artifact = model_artifact.load(unpacked)
    assert artifact == model_artifact.load(model_artifact.CALIBRATED_MODEL_DIR)

    items = [features(name=f"Item {number}") for number in range(3)]
    ((body, count),) = request_bodies(items, BodyFormat.JSON_LINES)
    with container(unpacked) as running:
        await until_loaded(running.url)
        async with httpx.AsyncClient(base_url=running.url) as client:
            response = await client.post("/invocations", content=body, headers={"content-type": BodyFormat.JSON_LINES})
    scores = predictions(response.content, count, BodyFormat.JSON_LINES)
    assert list(scores) == list(await artifact.ranker().scores(items))


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one.tar.gz", tmp_path / "other.tar.gz"
    assert package(str(one))[0] == package(str(other))[0] == 0
    assert one.read_bytes() == other.read_bytes()


def test_changed_model_is_not_packaged(tmp_path: Path) -> None:
    model_artifact.save(model_artifact.default_model(), tmp_path / "model")
    (tmp_path / "model" / "model.json").write_text("{}")
    code, output = package(str(tmp_path / "model.tar.gz"), "--model", str(tmp_path / "model"))
    assert code == 2
    assert "SHA-256" in output
    assert not (tmp_path / "model.tar.gz").exists()
