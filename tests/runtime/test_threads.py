"""Work that is done at once, or in a thread."""

import threading

from pantree_runtime.threads import beside_if


async def test_work_worth_a_thread_leaves_the_event_loop() -> None:
    assert await beside_if(True, threading.current_thread) is not threading.current_thread()


async def test_short_work_stays_where_it_is() -> None:
    assert await beside_if(False, threading.current_thread) is threading.current_thread()
