from typing import Any

from pantree_domain.compiled import compiled


def test_function_that_cannot_be_kept_is_compiled_all_the_same() -> None:
    # Code without a file has no folder to keep the result in, as code in a read-only container has none.
    namespace: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number", namespace)
    assert compiled()(namespace["double"])(21) == 42
