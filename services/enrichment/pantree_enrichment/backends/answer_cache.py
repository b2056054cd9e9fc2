"""Caches outcomes of a language model in this process and, for all replicas, in Redis."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pantree_enrichment.backends.reply import answer_from, entry_of
from pantree_enrichment.core.item import ModelAnswer, ModelItem, Outcome
from pantree_runtime.cache import ExpiringCache

if TYPE_CHECKING:
    from pantree_runtime.shared_redis import SharedRedis

KEY_PREFIX = "pantree:enrichment:"
# After this time the model may have been replaced by one that can answer.
_MAX_FAILURE_SECONDS = 600.0


class TieredCache:
    """An `AnswerCache` in memory and optionally in Redis. While Redis is unavailable, only the memory is used.

    Args:
        size: maximum number of outcomes in memory, about 1 KiB each; the least recently used is dropped first.
        seconds: how long an answer is cached.
        clock: monotonic time in seconds.
        redis: closed by `close`.
        prompt_version: only answers to these prompts are read from Redis.
        model: only answers of this model are read from Redis.
    """

    def __init__(
        self,
        *,
        size: int,
        seconds: float,
        clock: Callable[[], float],
        redis: "SharedRedis | None" = None,
        prompt_version: str = "",
        model: str = "",
    ) -> None:
        self._memory: ExpiringCache[ModelItem, Outcome] = ExpiringCache(size, clock=clock)
        self._seconds = seconds
        self._redis = redis
        self._prompt_version = prompt_version
        self._model = model

    async def get(self, items: Sequence[ModelItem]) -> Mapping[ModelItem, Outcome]:
        found = {item: outcome for item in items if (outcome := self._memory.get(item)) is not None}
        answers = await self._read([item for item in items if item not in found])
        self._put_in_memory(answers)
        return {**found, **answers}

    async def put(self, outcomes: Mapping[ModelItem, Outcome]) -> None:
        """Stores answers in both, and item-specific failures only in memory: other replicas may use a better model."""
        self._put_in_memory(outcomes)
        redis, answers = self._redis, [pair for pair in outcomes.items() if isinstance(pair[1], ModelAnswer)]
        if redis is None or not answers:
            return

        async def write() -> None:
            async with redis.client.pipeline(transaction=False) as commands:
                for item, answer in answers:
                    assert isinstance(answer, ModelAnswer)
                    text = json.dumps(entry_of(answer))
                    commands.set(self._key(item), text, px=max(1, round(self._seconds * 1000)))
                await commands.execute()

        await redis.run("set", write, _nothing)

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.close()

    def _put_in_memory(self, outcomes: Mapping[ModelItem, Outcome]) -> None:
        for item, outcome in outcomes.items():
            if isinstance(outcome, ModelAnswer):
                self._memory.put(item, outcome, self._seconds)
            elif outcome.is_item_specific:
                self._memory.put(item, outcome, min(_MAX_FAILURE_SECONDS, self._seconds))

    async def _read(self, items: Sequence[ModelItem]) -> dict[ModelItem, Outcome]:
        redis = self._redis
        if redis is None or not items:
            return {}
        keys = [self._key(item) for item in items]
        texts = await redis.run("get", lambda: redis.client.mget(keys), _nothing) or [None] * len(keys)
        answers = {item: _answer_in(text) for item, text in zip(items, texts, strict=True) if text is not None}
        return {item: answer for item, answer in answers.items() if answer is not None}

    def _key(self, item: ModelItem) -> str:
        parts = [self._prompt_version, self._model, *item.key]
        return KEY_PREFIX + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def _nothing() -> None:
    """The fallback, which does nothing: the memory already has the answers."""


def _answer_in(text: bytes | str) -> ModelAnswer | None:
    """A stored answer, validated like a model's reply; None if it is invalid."""
    try:
        return answer_from(json.loads(text))
    except (ValueError, RecursionError):
        return None
