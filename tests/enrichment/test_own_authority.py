"""A server whose certificate was signed by a CA of the user's own."""

import asyncio
import ssl
from pathlib import Path

import httpx
import pytest

from pantree_enrichment.backends.nim import open_client
from scripts.make_certificates import Authority
from tests.enrichment.nim_server import http
from tests.tcp import serving_tcp


async def test_server_with_a_certificate_of_the_users_own_authority_is_trusted(tmp_path: Path) -> None:
    Authority().issue(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http(200, b"{}", Connection="close"))
        await writer.drain()
        writer.close()

    async with serving_tcp(answer, ssl=context) as port:
        url = f"https://localhost:{port}"
        async with open_client(url, "", max_calls=1) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/v1/models")
        async with open_client(url, "", max_calls=1, ca_file=tmp_path / "ca.crt") as client:
            assert (await client.get("/v1/models")).status_code == 200
