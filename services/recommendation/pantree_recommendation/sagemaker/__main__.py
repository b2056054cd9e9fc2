"""The command line: `python -m pantree_recommendation.sagemaker serve|train|local|write-default|bulk`."""

import argparse
import contextlib
import dataclasses
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import BodyFormat, MalformedBody, items_of, scores_body
from pantree_recommendation.sagemaker.settings import ContainerSettings
from pantree_recommendation.settings import RecommendationSettings
from pantree_runtime.logging import configure_logging
from pantree_runtime.settings import load_settings

if TYPE_CHECKING:
    from pantree_recommendation.sagemaker.bulk_scoring import BulkScoring, Operation

NAME = "recommendation-sagemaker"
_PING_SECONDS = 0.1
_LOCAL_KEY, _LOCAL_SECRET = "local", "local-secret"
_FORMATS = {".jsonl": BodyFormat.JSON_LINES, ".csv": BodyFormat.CSV}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command. Returns the exit code: 0 succeeded, 1 failed, 2 invalid arguments, 3 still running."""
    parser = argparse.ArgumentParser(
        prog="python -m pantree_recommendation.sagemaker", description="Pantree's ranking model on SageMaker."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the model in the model directory")
    commands.add_parser("train", help="fit a model on the input directory and write it to the model directory")
    _add_local(commands.add_parser("local", help="serve a model behind a local SageMaker runtime"))
    write_default = commands.add_parser("write-default", help="write the default model, the formula alone")
    write_default.add_argument("directory", type=Path)
    _add_bulk(commands.add_parser("bulk", help="score a file of items on SageMaker, through S3"))
    chosen = parser.parse_args(arguments)
    if chosen.command == "write-default":
        model_artifact.save(model_artifact.default_model(), chosen.directory)
        return 0
    if chosen.command == "bulk":
        return _bulk(chosen)
    settings = load_settings(ContainerSettings)
    configure_logging(NAME, settings)
    if chosen.command == "local":
        try:
            return _local(chosen)
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    if chosen.command == "serve":
        from pantree_recommendation.sagemaker.container import serve

        return serve(settings)
    from pantree_fitting.recommendation.training_job import train

    return train(settings.input_dir, settings.model_dir, settings.output_dir)


def _add_local(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, default=model_artifact.DEFAULT_MODEL_DIR, help="directory of the model")
    parser.add_argument("--endpoint", default="pantree", help="name of the endpoint")
    parser.add_argument("--port", type=int, default=8090, help="port of the runtime; 0 picks a free one")


def _local(chosen: argparse.Namespace) -> int:
    """Serves a local runtime and a container process until SIGTERM or Ctrl-C."""
    from pantree_recommendation.sagemaker.local_runtime import LocalRuntime
    from pantree_recommendation.sagemaker.serving import server_of

    listener = socket.create_server(("127.0.0.1", chosen.port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with _container_process(chosen.model) as container_url:
        runtime = LocalRuntime({chosen.endpoint: {"default": container_url}}, {_LOCAL_KEY: _LOCAL_SECRET})
        variables = {
            "SAGEMAKER_ENDPOINT": chosen.endpoint,
            "PANTREE_RECOMMENDATION_SAGEMAKER_URL": url,
            "AWS_ACCESS_KEY_ID": _LOCAL_KEY,
            "AWS_SECRET_ACCESS_KEY": _LOCAL_SECRET,
        }
        print("A local SageMaker runtime is running; press Ctrl-C to stop it. Start the recommendation service with:\n")
        print(" ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items()), end=" ")
        print("python -m pantree_recommendation", flush=True)
        server_of(runtime.app(), drain_seconds=1).run(sockets=[listener])
    return 0


@contextlib.contextmanager
def _container_process(model: Path) -> Iterator[str]:
    """Context manager that runs a container process on a free port; yields its URL once the model is loaded.

    Raises:
        OSError: when the process ends before that.
    """
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    environment = {
        **os.environ,
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "PANTREE_SAGEMAKER_HOST": "127.0.0.1",
        "PANTREE_SAGEMAKER_MODEL_DIR": str(model),
    }
    command = [sys.executable, "-m", "pantree_recommendation.sagemaker", "serve"]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603 # no user input
        try:
            while not _is_ready(f"http://127.0.0.1:{port}/ping"):
                if process.poll() is not None:
                    raise OSError("the container ended; see its output above")
                time.sleep(_PING_SECONDS)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    import httpx

    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _add_bulk(parser: argparse.ArgumentParser) -> None:
    steps = parser.add_subparsers(dest="step", required=True)
    start = steps.add_parser("start", help="upload the items and start; print the operation")
    start.add_argument("items", type=Path, help="*.jsonl or *.csv, in the format of the container")
    start.add_argument("location", help="new S3 location for the operation, s3://bucket/prefix/id")
    target = start.add_mutually_exclusive_group(required=True)
    target.add_argument("--endpoint", default="", help="asynchronous inference on this endpoint")
    target.add_argument("--model", default="", help="batch transform job with this SageMaker model")
    start.add_argument("--instance-type", default="ml.m5.large", help="of the batch transform job")
    start.add_argument("--instance-count", type=int, default=1, help="of the batch transform job")
    for step, text in (
        ("status", "print the progress of an operation; exit code 3 while it is running"),
        ("wait", "print the progress until the operation ends"),
        ("fetch", "write the scores, one line per item"),
        ("cancel", "stop a batch transform job"),
    ):
        command = steps.add_parser(step, help=text)
        command.add_argument("location", help="S3 location of the operation")
        if step == "wait":
            command.add_argument("--every-seconds", type=float, default=15.0, help="interval between two checks")
        if step == "fetch":
            command.add_argument("output", type=Path, help="file to write")


def _bulk(chosen: argparse.Namespace) -> int:
    from pantree_recommendation.sagemaker.bulk_scoring import BulkFailure

    try:
        return _bulk_step(chosen, _open_bulk(load_settings(RecommendationSettings)))
    except MalformedBody as error:
        for position, problem in error.problems:
            print(f"error: {chosen.items}:{position}: {problem}", file=sys.stderr)
    except (BulkFailure, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


def _bulk_step(chosen: argparse.Namespace, bulk: "BulkScoring") -> int:
    if chosen.step == "start":
        operation = _start(chosen, bulk)
        counts = {"parts": len(operation.parts), "items": sum(part.count for part in operation.parts)}
        print(json.dumps({"operation": operation.location, "kind": operation.kind, **counts}))
        return 0
    operation = bulk.find(chosen.location)
    match chosen.step:
        case "status":
            checks = iter([bulk.progress(operation)])
        case "wait":
            checks = bulk.wait(operation, every_seconds=chosen.every_seconds)
        case "fetch":
            chosen.output.write_bytes(scores_body(bulk.scores(operation), operation.body_format))
            return 0
        case _:
            bulk.cancel(operation)
            return 0
    state = ""
    for progress in checks:
        print(json.dumps({**dataclasses.asdict(progress), "progress_ratio": progress.progress_ratio}), flush=True)
        state = progress.state
    return {"succeeded": 0, "running": 3}.get(state, 1)


def _start(chosen: argparse.Namespace, bulk: "BulkScoring") -> "Operation":
    from pantree_recommendation.sagemaker.bulk_scoring import TransformResources

    body_format = _FORMATS.get(chosen.items.suffix)
    if body_format is None:
        raise ValueError(f"{chosen.items} must be a file of type {' or '.join(_FORMATS)}")
    items = items_of(chosen.items.read_bytes(), body_format)
    transform = TransformResources(chosen.model, chosen.instance_type, chosen.instance_count) if chosen.model else None
    return bulk.start(items, chosen.location, endpoint=chosen.endpoint, transform=transform, body_format=body_format)


def _open_bulk(settings: RecommendationSettings) -> "BulkScoring":
    from pantree_recommendation.backends.endpoint import AwsConnection
    from pantree_recommendation.sagemaker.bulk_scoring import BulkScoring

    connection = AwsConnection(**settings.aws_connection)
    return BulkScoring(
        connection.client("s3"),
        connection.client("sagemaker-runtime", settings.sagemaker_url),
        connection.client("sagemaker"),
    )


if __name__ == "__main__":
    sys.exit(main())
