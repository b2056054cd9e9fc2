"""`pantree sagemaker`: the archive of a model for SageMaker."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pantree_cli.help import examples

# Nothing else in the directory belongs to the model.
_FILES = ("manifest.json", "model.json", "MODEL_CARD.md")

console = Console()

sagemaker_app = typer.Typer(
    help="Package a ranking model for SageMaker.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@sagemaker_app.callback(epilog=examples("pantree sagemaker package", "pantree sagemaker package build/model.tar.gz"))
def _group() -> None:
    """Package a ranking model for SageMaker."""


@sagemaker_app.command(
    epilog=examples("pantree sagemaker package", "pantree sagemaker package --model my-model model.tar.gz")
)
def package(
    output: Annotated[Path, typer.Argument(metavar="FILE", help="Archive to write.")] = Path("model.tar.gz"),
    model: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Directory of the model; the calibrated one by default.")
    ] = None,
) -> None:
    """Write model.tar.gz, which SageMaker unpacks to /opt/ml/model.

    The model is verified first. The same model always gives the same bytes.
    """
    # Imported here, because other commands start faster without it.
    from pantree_recommendation.backends import model_artifact

    directory = model or model_artifact.CALIBRATED_MODEL_DIR
    try:
        artifact = model_artifact.load(directory)
        archive = _archive(directory)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(archive)
    except (OSError, model_artifact.InvalidModel) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    console.print(f"{output}: {artifact.model.name} {artifact.model.version}, {len(archive):,} bytes")
    console.print(
        "Upload it to S3, and create a SageMaker model with its ModelDataUrl and the image of Dockerfile.sagemaker."
    )


def _archive(directory: Path) -> bytes:
    """The model's files at the top of a compressed archive, without owners and times."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for file in sorted(directory / name for name in _FILES if (directory / name).is_file()):
            content = file.read_bytes()
            entry = tarfile.TarInfo(file.name)
            entry.size, entry.mode = len(content), 0o644
            files.addfile(entry, io.BytesIO(content))
    return gzip.compress(archive.getvalue(), mtime=0)
