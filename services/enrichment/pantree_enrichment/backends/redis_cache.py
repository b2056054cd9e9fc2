"""Keeps answers in Redis, so that replicas share them and a restart does not lose them."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pantree_enrichment.backends.cache import AnswerCache
from pantree_enrichment.backends.reply import answer_from, entry_of
from pantree_enrichment.core import EnrichedItem, ItemToEnrich, Outcome
from pantree_runtime.circuit_breaker import CircuitBreaker
from pantree_runtime.telemetry import external_call

_log = structlog.get_logger(__name__)

KEY_PREFIX = "pantree:enrichment:"
_SYSTEM = "redis"
# Redis answers in about a millisecond or not at all; the answer is not worth more waiting.
_TIMEOUT_SECONDS = 0.25
_COOL_DOWN_SECONDS = 30.0


def open_redis(url: str) -> Redis:
    """Client of the server at a `redis://`, `rediss://` or `unix://` URL; connects when it is first used."""
    return Redis.from_url(
        url,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        socket_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class RedisCache:
    """A cache in front of Redis. While Redis is down, the cache in front works alone; logged once, not per call."""

    def __init__(
        self,
        redis: Redis,
        local: AnswerCache,
        *,
        prompt_version: str,
        model: str,
        seconds_to_keep: float,
        clock: Callable[[], float],
    ) -> None:
        """Takes what it keeps answers in.

        Args:
            redis: from `open_redis`; closed by `close`.
            local: is asked first.
            prompt_version: answers to another one are not found.
            model: answers of another one are not found.
            seconds_to_keep: how long Redis keeps an answer.
            clock: seconds, never going backwards.
        """
        self._redis = redis
        self._local = local
        self._prompt_version = prompt_version
        self._model = model
        self._milliseconds_to_keep = max(1, round(seconds_to_keep * 1000))
        self._breaker = CircuitBreaker(_COOL_DOWN_SECONDS, clock)

    async def get(self, questions: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        """What is kept about questions, without those of which nothing is."""
        found = dict(await self._local.get(questions))
        missing = [question for question in questions if question not in found]
        answers = await self._read(missing) if missing else {}
        await self._local.put(answers)
        return {**found, **answers}

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        """Keeps outcomes; Redis keeps answers alone, since other replicas may ask a better model."""
        await self._local.put(outcomes)
        answers = {question: answer for question, answer in outcomes.items() if isinstance(answer, EnrichedItem)}
        if not answers or not self._breaker.allows():
            return
        try:
            with external_call(_SYSTEM, "set"):
                async with asyncio.timeout(_TIMEOUT_SECONDS), self._redis.pipeline(transaction=False) as commands:
                    for question, answer in answers.items():
                        commands.set(self._key(question), json.dumps(entry_of(answer)), px=self._milliseconds_to_keep)
                    await commands.execute()
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
        else:
            self._worked()

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
        await self._local.close()

    async def _read(self, questions: Sequence[ItemToEnrich]) -> dict[ItemToEnrich, Outcome]:
        if not self._breaker.allows():
            return {}
        try:
            with external_call(_SYSTEM, "get"):
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    texts = await self._redis.mget([self._key(question) for question in questions])
        except (RedisError, OSError, TimeoutError) as error:
            self._failed(error)
            return {}
        self._worked()
        answers: dict[ItemToEnrich, Outcome] = {}
        for question, text in zip(questions, texts, strict=True):
            answer = None if text is None else _answer_in(text, question)
            if answer is not None:
                answers[question] = answer
        return answers

    def _key(self, question: ItemToEnrich) -> str:
        parts = [self._prompt_version, self._model, question.name, question.category]
        return KEY_PREFIX + hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _failed(self, error: Exception) -> None:
        if self._breaker.is_closed:
            _log.warning("redis failed; answers are kept in this process alone", error=type(error).__name__)
        self._breaker.record_failure()

    def _worked(self) -> None:
        if not self._breaker.is_closed:
            _log.info("redis works again")
        self._breaker.record_success()


def _answer_in(text: bytes | str, question: ItemToEnrich) -> EnrichedItem | None:
    """An answer as it was kept; None when somebody else wrote there. It is checked as a model's reply is."""
    try:
        return answer_from(json.loads(text), question)
    except (ValueError, RecursionError):
        return None
