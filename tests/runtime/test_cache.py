from pantree_runtime.cache import ExpiringCache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_value_expires_after_its_own_time() -> None:
    clock = Clock()
    cache = ExpiringCache[str, int](10, clock=clock)
    cache.put("short", 1, seconds=5)
    cache.put("long", 2, seconds=10)
    clock.now = 5
    assert (cache.get("short"), cache.get("long")) == (None, 2)
    clock.now = 10
    assert cache.get("long") is None


def test_full_cache_drops_the_lru_value() -> None:
    cache = ExpiringCache[str, int](2)
    cache.put("a", 1, 60)
    cache.put("b", 2, 60)
    assert cache.get("a") == 1
    cache.put("c", 3, 60)
    assert [cache.get(key) for key in "abc"] == [1, None, 3]


def test_size_may_be_counted_in_bytes() -> None:
    cache = ExpiringCache[str, bytes](10, size_of=lambda key, value: len(key) + len(value))
    cache.put("a", b"1234", 60)
    cache.put("b", b"1234", 60)
    cache.put("c", b"1", 60)
    assert [cache.get(key) for key in "abc"] == [None, b"1234", b"1"]


def test_value_larger_than_the_cache_replaces_nothing_but_its_own_key() -> None:
    cache = ExpiringCache[str, bytes](10, size_of=lambda key, value: len(value))
    cache.put("a", b"1", 60)
    cache.put("b", b"1", 60)
    cache.put("b", b"x" * 11, 60)
    assert [cache.get(key) for key in "ab"] == [b"1", None]


def test_deleted_value_is_gone() -> None:
    cache = ExpiringCache[str, int](2)
    cache.put("a", 1, 60)
    cache.delete("a")
    cache.delete("a")
    assert cache.get("a") is None
