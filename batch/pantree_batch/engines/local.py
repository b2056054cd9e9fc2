"""A pool of processes on this machine. One that ends unexpectedly is replaced, and its bucket starts again."""

import contextlib
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess

from pantree_batch.engine import ENDS_TO_SKIP, MAX_ENDS, Finished, Task, score_bucket
from pantree_batch.errors import BatchError, RunFailed
from pantree_batch.household import Key


@dataclass
class _Worker:
    process: BaseProcess
    pipe: connection.Connection
    task: Task | None = None
    last_key: Key | None = None


@dataclass
class _Ends:
    """Unexpected ends of processes at one bucket."""

    count: int = 0
    at: Counter[Key] = field(default_factory=Counter)


def _work(pipe: connection.Connection) -> None:
    """Scores the buckets that arrive, until the pipe is closed. Runs in a process of its own."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Logs of services would mix with the progress of the run.
    os.environ.setdefault("PANTREE_LOG_LEVEL", "WARNING")
    from pantree_batch.scorer import Scorer

    try:
        scorer = Scorer()
    except Exception as error:
        pipe.send(("failed", f"the models cannot be loaded: {error}"))
        return
    while True:
        try:
            task: Task = pipe.recv()
        except EOFError:
            return

        def before_each(key: Key) -> None:
            pipe.send(("household", key))

        def on_rows(count: int) -> None:
            pipe.send(("progress", count))

        try:
            pipe.send(("finished", score_bucket(task, scorer, before_each, on_rows)))
        except BatchError as error:
            pipe.send(("failed", f"bucket {task.bucket}: {error}"))
        except Exception as error:
            pipe.send(("failed", f"bucket {task.bucket}: {type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended, even by a signal."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


class LocalEngine:
    """A fixed number of processes, started by `run` and ended by `close`."""

    def __init__(self, worker_count: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._worker_count = worker_count
        self._workers: list[_Worker] = []

    @property
    def process_ids(self) -> list[int]:
        """Ids of the processes that run."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def run(self, tasks: Sequence[Task], on_progress: Callable[[int], None]) -> Iterator[Finished]:
        """The buckets as they are written, in any order."""
        waiting = deque(tasks)
        ends: dict[int, _Ends] = {}
        done: Counter[int] = Counter()
        remaining = len(tasks)
        while remaining:
            self._start(min(self._worker_count, remaining))
            for worker in self._workers:
                if worker.task is None and waiting:
                    worker.task, worker.last_key = waiting.popleft(), None
                    with contextlib.suppress(OSError):  # of a process that has ended, which is handled below
                        worker.pipe.send(worker.task)
            for worker in self._ready():
                try:
                    kind, content = worker.pipe.recv()
                except (EOFError, OSError):
                    task = self._replace(worker)
                    if task is not None:
                        on_progress(-done.pop(task.bucket, 0))
                        waiting.appendleft(_after_end(task, worker, ends.setdefault(task.bucket, _Ends())))
                    continue
                if kind == "failed":
                    raise RunFailed(content)
                if kind == "household":
                    worker.last_key = content
                elif kind == "progress" and worker.task is not None:
                    done[worker.task.bucket] += content
                    on_progress(content)
                elif kind == "finished":
                    worker.task = None
                    remaining -= 1
                    yield content

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()

    def _start(self, count: int) -> None:
        while len(self._workers) < count:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    def _ready(self) -> list[_Worker]:
        ready = connection.wait([worker.pipe for worker in self._workers])
        return [worker for worker in self._workers if worker.pipe in ready]

    def _replace(self, worker: _Worker) -> Task | None:
        """Removes a process that has ended; the bucket that it was scoring."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        return worker.task


def _after_end(task: Task, worker: _Worker, ends: _Ends) -> Task:
    """The task again, which from then on reports each household, without those that end processes."""
    ends.count += 1
    skipped = task.skipped
    if worker.last_key is not None:
        ends.at[worker.last_key] += 1
        if ends.at[worker.last_key] >= ENDS_TO_SKIP:
            skipped |= {worker.last_key}
            ends.count = 0
    if ends.count > MAX_ENDS:
        code = worker.process.exitcode
        raise RunFailed(
            f"bucket {task.bucket}: {ends.count} processes ended unexpectedly, the last one with exit code {code}; "
            "find out what ends them, such as too little memory, then resume the run"
        )
    return Task(**{**vars(task), "skipped": skipped, "careful": True})
