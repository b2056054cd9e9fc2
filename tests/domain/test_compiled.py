from typing import Any

import pytest

from pantree_domain.compiled import compiled


def test_function_that_cannot_be_kept_is_compiled_all_the_same() -> None:
    # Code without a file has no folder to keep the result in, as code in a read-only container has none.
    namespace: dict[str, Any] = {}
    exec("def double(number):\n    return 2 * number", namespace)
    assert compiled()(namespace["double"])(21) == 42


def test_division_by_zero_is_an_error_or_infinity_as_asked() -> None:
    def ratio(one: float, other: float) -> float:
        return one / other

    with pytest.raises(ZeroDivisionError):
        compiled()(ratio)(1.0, 0.0)
    assert compiled("numpy")(ratio)(1.0, 0.0) == float("inf")
