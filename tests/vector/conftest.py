import os
from collections.abc import Iterator

import pytest

from tests.milvus_server import MilvusServerProcess, is_installed, milvus_server


@pytest.fixture(scope="session")
def milvus_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServerProcess]:
    """A server started for the tests."""
    if not is_installed():
        pytest.skip("the Milvus server is not installed: pip install milvus==2.3.5 (Linux on x86-64)")
    with milvus_server(lambda: tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture(scope="session")
def milvus_uri(request: pytest.FixtureRequest) -> str:
    """PANTREE_TEST_MILVUS_URI, or the URI of a server started for the tests."""
    uri = os.environ.get("PANTREE_TEST_MILVUS_URI")
    if uri:
        return uri
    process: MilvusServerProcess = request.getfixturevalue("milvus_process")
    return process.uri
