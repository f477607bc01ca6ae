"""Certificates are verified, for the name in the URL."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.image_server import serving
from tests.images.fetching.wire import Names
from tests.images.pictures import encode, smooth

from mlimages.images.fetching.client import Answer, Client
from mlimages.images.fetching.resolver import Resolver
from mlimages.images.fetching.settings import NetworkSettings
from mlimages.images.fetching.states import UrlState

PICTURE = encode(smooth(200, 200), quality=95)


def write_certificate(path: Path, name: str, days: int = 1) -> None:
    """A self-signed certificate with its key, valid from two days ago until in `days`."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )


def fetch(certificate: Path, *, trusted: bool, host: str = "images.example") -> Answer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    settings = NetworkSettings(
        ports=None,
        allow_private_addresses=True,
        robots=False,
        opt_out=False,
        ca_file=str(certificate) if trusted else None,
    )

    async def run() -> Answer:
        resolver = Resolver(Names({host: [["127.0.0.1"]]}), allow_private=True)
        async with Client(settings, resolver) as client:
            first = await client.get(server.url("/a.jpg", host))
            if first.state is UrlState.OK:  # also over the kept connection
                assert (await client.get(server.url("/a.jpg", host))).data == first.data
            return first

    with serving({"/a.jpg": PICTURE}, tls=context) as server:
        return asyncio.run(run())


def test_a_host_with_a_trusted_certificate_is_fetched_from(tmp_path: Path) -> None:
    write_certificate(tmp_path / "a.pem", "images.example")
    answer = fetch(tmp_path / "a.pem", trusted=True)
    assert (answer.state, answer.data) == (UrlState.OK, PICTURE)


@pytest.mark.parametrize(
    ("name", "days", "trusted", "detail"),
    [
        ("images.example", 1, False, "self-signed"),
        ("other.example", 1, True, "mismatch"),
        ("images.example", -1, True, "expired"),
    ],
)
def test_a_certificate_that_does_not_hold_ends_as_tls(
    tmp_path: Path, name: str, days: int, trusted: bool, detail: str
) -> None:
    write_certificate(tmp_path / "a.pem", name, days)
    answer = fetch(tmp_path / "a.pem", trusted=trusted)
    assert answer.state is UrlState.TLS
    assert detail in answer.detail
    assert answer.data == b""


def test_a_host_without_tls_behind_an_https_url_ends_as_tls() -> None:
    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def run() -> Answer:
        settings = NetworkSettings(
            ports=None, allow_private_addresses=True, robots=False, opt_out=False
        )
        plain = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
        port = plain.sockets[0].getsockname()[1]
        async with plain, Client(settings) as client:
            return await client.get(f"https://127.0.0.1:{port}/a.jpg")

    assert asyncio.run(run()).state is UrlState.TLS
