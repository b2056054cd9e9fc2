"""`make stories`: all household stories through the gateway of one mesh; exit 1 when too many are not right.

    python -m tests.stories [--fillers] [--url http://127.0.0.1:8000] [WORDS OF A STORY'S NAME ...]

With --fillers, each story is asked with twelve different sets of other purchases, too.
"""

import argparse
import asyncio
import sys

from rich.console import Console

from tests.e2e.mesh import mesh_of_processes
from tests.stories.run import Outcome, changed_by_fillers, outcomes_of, print_table
from tests.stories.stories import STORIES

FILLERS = 12
MIN_RIGHT_RATIO = 0.95


async def _run(fillers: tuple[int | None, ...], words: str, url: str) -> list[Outcome]:
    stories = [story for story in STORIES if words in story.name]
    if url:
        return await outcomes_of(stories, url, fillers)
    async with mesh_of_processes() as mesh:
        return await outcomes_of(stories, mesh.http, fillers)


def main() -> int:
    """Prints the table and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stories", description=__doc__)
    parser.add_argument("--fillers", action="store_true", help="with twelve sets of other purchases each")
    parser.add_argument("--url", default="", help="gateway of a running mesh; without it, one is started")
    parser.add_argument("words", nargs="*", help="only stories whose name contains these words")
    options = parser.parse_args()
    fillers = (None, *range(FILLERS)) if options.fillers else (None,)
    outcomes = asyncio.run(_run(fillers, " ".join(options.words), options.url))
    console = Console(width=180)
    print_table(console, outcomes)
    right = sum(outcome.grade == "right" for outcome in outcomes) / len(outcomes)
    absurd = sum(outcome.grade == "absurd" for outcome in outcomes)
    console.print(f"{len(STORIES)} stories, {len(outcomes)} answers: {right:.1%} right, {absurd} absurd.")
    if options.fillers:
        changed = changed_by_fillers(outcomes)
        console.print(f"{len(changed)} decisions depend on the other purchases: {', '.join(changed) or 'none'}.")
    return 0 if right >= MIN_RIGHT_RATIO and not absurd else 1


if __name__ == "__main__":
    sys.exit(main())
