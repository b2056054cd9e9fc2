"""The HTTP server that SageMaker expects in a container: `/ping`, `/invocations`, `/execution-parameters`.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import asyncio
import contextlib
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pantree_recommendation.backends import model_artifact
from pantree_recommendation.backends.bodies import MAX_PROBLEMS, BodyFormat, MalformedBody, items_of, scores_body
from pantree_recommendation.backends.embedded import EmbeddedRanker
from pantree_recommendation.backends.model_artifact import InvalidModel, ModelArtifact
from pantree_recommendation.core.ranking import ItemFeatures
from pantree_recommendation.core.selection import model_id
from pantree_recommendation.sagemaker.serving import server_of
from pantree_recommendation.sagemaker.settings import ContainerSettings

_log = structlog.get_logger(__name__)

# Batch transform's limit; that of InvokeEndpoint is smaller.
_MAX_TRANSFORM_BYTES = 100 * 1024 * 1024
_MODEL_HEADER = "X-Amzn-SageMaker-Custom-Attributes"


class Container:
    """Serves a model that is loaded in the background.

    Args:
        load: reads the model; blocks.
        on_failure: called in another thread, with the reason, when the model cannot be loaded.
    """

    def __init__(self, load: Callable[[], ModelArtifact], on_failure: Callable[[str], None]) -> None:
        self._load = load
        self._on_failure = on_failure
        self._ranker: EmbeddedRanker | None = None

    def app(self) -> Starlette:
        """The application, which loads the model in the background when it starts."""
        return Starlette(
            routes=[
                Route("/ping", self._ping, methods=["GET"]),
                Route("/invocations", self._invocations, methods=["POST"]),
                Route("/execution-parameters", self._execution_parameters, methods=["GET"]),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        # A daemon thread, so that a file system that hangs does not delay the exit after SIGTERM.
        threading.Thread(target=self._load_model, name="load-model", daemon=True).start()
        yield

    def _load_model(self) -> None:
        try:
            loaded = self._load()
        except InvalidModel as error:
            self._on_failure(str(error))
            return
        self._ranker = loaded.ranker()
        _log.info("model loaded", model=model_id(loaded.model), checksum=loaded.card.checksum)

    async def _ping(self, request: Request) -> Response:
        """Returns 200 once the model is loaded, 503 before."""
        return Response(status_code=200 if self._ranker is not None else 503)

    async def _execution_parameters(self, request: Request) -> Response:
        """Returns the best settings for batch transform: many lines per request, one request per processor."""
        return JSONResponse(
            {
                "MaxConcurrentTransforms": os.cpu_count() or 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": 6,
            }
        )

    async def _invocations(self, request: Request) -> Response:
        """Returns a score per item, in order; 400 if any item is invalid, since a gap would shift the other scores."""
        ranker = self._ranker
        if ranker is None:
            return _error(503, "the model is still loading; try again when /ping returns 200")
        body_format = _format_of(request.headers.get("content-type", ""))
        if body_format is None:
            return _error(415, f"the content type must be one of {', '.join(BodyFormat)}")
        response_format = _accepted(request.headers.get("accept", ""), body_format)
        if response_format is None:
            return _error(406, f"Accept must include one of {', '.join(BodyFormat)}")
        body = await _read_body(request)
        if body is None:
            return _error(413, f"the body has more than {_MAX_TRANSFORM_BYTES:,} bytes; split it")
        try:
            # In a thread, so that /ping stays responsive.
            content = await asyncio.to_thread(_score_body, ranker, body, body_format, response_format)
        except MalformedBody as error:
            problems = [{"position": position, "problem": problem} for position, problem in error.problems]
            first = problems[0]
            return _error(400, f"item {first['position']}: {first['problem']}", problems=problems)
        return Response(content, media_type=response_format, headers={_MODEL_HEADER: f"model={model_id(ranker.model)}"})


def serve(settings: ContainerSettings) -> int:
    """Serves until SIGTERM, then drains. Returns the exit code: 1 if the model or the port is unavailable."""
    reasons: list[str] = []

    def on_failure(reason: str) -> None:
        reasons.append(reason)
        server.should_exit = True

    container = Container(lambda: model_artifact.load(settings.model_dir), on_failure)
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=2048)
    except OSError as error:
        print(
            f"error: cannot listen on {settings.host}:{settings.port} ({error.strerror}); set SAGEMAKER_BIND_TO_PORT",
            file=sys.stderr,
        )
        return 1
    server = server_of(container.app(), drain_seconds=settings.drain_seconds)
    _log.info("listening", port=listener.getsockname()[1])
    server.run(sockets=[listener])
    for reason in reasons:
        print(f"error: {reason}", file=sys.stderr)
    return 1 if reasons else 0


def _score_body(ranker: EmbeddedRanker, body: bytes, body_format: BodyFormat, response_format: BodyFormat) -> bytes:
    scores: list[float] = []
    problems: list[tuple[int, str]] = []
    for position, item in enumerate(items_of(body, body_format), start=1):
        score = _score(ranker, item)
        if score is None:
            problems.append((position, "must have features within their ranges"))
            if len(problems) == MAX_PROBLEMS:
                break
        else:
            scores.append(score)
    if problems:
        raise MalformedBody(problems)
    return scores_body(scores, response_format)


def _score(ranker: EmbeddedRanker, item: ItemFeatures) -> float | None:
    """Score of an item, None if a value is out of range. Only the types of the values have been validated."""
    try:
        score = ranker.score(item)
    except (ArithmeticError, LookupError, ValueError):
        return None
    return score if 0 <= score <= 1 else None


def _format_of(content_type: str) -> BodyFormat | None:
    name = content_type.partition(";")[0].strip().lower()
    return BodyFormat(name) if name in set(BodyFormat) else None


def _accepted(accept: str, body_format: BodyFormat) -> BodyFormat | None:
    """Format of the response: that of the request if it is accepted, else the first supported one, else None."""
    if not accept.strip():
        return body_format
    names = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if "*/*" in names or body_format in names:
        return body_format
    return next((answer for name in names if (answer := _format_of(name)) is not None), None)


async def _read_body(request: Request) -> bytes | None:
    """The body; None when it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MAX_TRANSFORM_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _error(status: int, error: str, **more: object) -> Response:
    return JSONResponse({"error": error, **more}, status_code=status)
