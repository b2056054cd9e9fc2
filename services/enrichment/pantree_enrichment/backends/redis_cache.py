"""Caches answers in Redis, so that replicas share them and they survive a restart."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from pantree_enrichment.backends.reply import answer_from, entry_of
from pantree_enrichment.core import AnswerCache, EnrichedItem, ItemToEnrich, Outcome
from pantree_runtime.shared_redis import SharedRedis

KEY_PREFIX = "pantree:enrichment:"


class RedisCache:
    """A cache in Redis behind a local one, which works on its own while Redis is unavailable.

    Args:
        redis: closed by `close`.
        local: looked up first; closed by `close`.
        prompt_version: answers to other prompts are not found.
        model: answers of other models are not found.
        seconds: how long Redis stores an answer.
    """

    def __init__(
        self, redis: SharedRedis, local: AnswerCache, *, prompt_version: str, model: str, seconds: float
    ) -> None:
        self._redis = redis
        self._local = local
        self._prompt_version = prompt_version
        self._model = model
        self._milliseconds = max(1, round(seconds * 1000))

    async def get(self, items: Sequence[ItemToEnrich]) -> Mapping[ItemToEnrich, Outcome]:
        found = dict(await self._local.get(items))
        missing = [item for item in items if item not in found]
        answers = await self._read(missing) if missing else {}
        await self._local.put(answers)
        return {**found, **answers}

    async def put(self, outcomes: Mapping[ItemToEnrich, Outcome]) -> None:
        """Stores outcomes; Redis stores only answers, since other replicas may use a better model."""
        await self._local.put(outcomes)
        answers = {item: answer for item, answer in outcomes.items() if isinstance(answer, EnrichedItem)}

        async def write() -> None:
            async with self._redis.client.pipeline(transaction=False) as commands:
                for item, answer in answers.items():
                    commands.set(self._key(item), json.dumps(entry_of(answer)), px=self._milliseconds)
                await commands.execute()

        if answers:
            await self._redis.run("set", write, _nothing)

    async def close(self) -> None:
        await self._redis.close()
        await self._local.close()

    async def _read(self, items: Sequence[ItemToEnrich]) -> dict[ItemToEnrich, Outcome]:
        keys = [self._key(item) for item in items]
        texts = await self._redis.run("get", lambda: self._redis.client.mget(keys), _nothing) or [None] * len(keys)
        answers = {item: _answer_in(text, item) for item, text in zip(items, texts, strict=True) if text is not None}
        return {item: answer for item, answer in answers.items() if answer is not None}

    def _key(self, item: ItemToEnrich) -> str:
        parts = [self._prompt_version, self._model, item.name, item.category]
        return KEY_PREFIX + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


async def _nothing() -> None:
    """The fallback: the local cache already has the answers."""


def _answer_in(text: bytes | str, item: ItemToEnrich) -> EnrichedItem | None:
    """A stored answer, validated like a model's reply; None when something else is stored there."""
    try:
        return answer_from(json.loads(text), item)
    except (ValueError, RecursionError):
        return None
