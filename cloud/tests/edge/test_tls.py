from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stratuslab.cloud.edge.app import create_app, tls_context
from stratuslab.cloud.edge.settings import EdgeSettings
from stratuslab.core.errors import ConfigurationError
from stratuslab.core.service.handlers import serve


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "door")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "door.pem", tmp_path / "door.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


async def test_with_a_certificate_the_door_speaks_tls_only(certificate: tuple[Path, Path]) -> None:
    settings = EdgeSettings(
        tls_certificate_file=str(certificate[0]), tls_key_file=str(certificate[1])
    )
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with (
        serve(create_app(settings), "127.0.0.1:0", tls=tls_context(settings)) as address,
        aiohttp.ClientSession() as session,
    ):
        assert address.startswith("https://")
        async with session.get(f"{address}/", ssl=trust) as answer:
            services = (await answer.json())["services"]
        assert services[0]["href"] == f"{address}/cimi"
        with pytest.raises(aiohttp.ClientError):
            await session.get(address.replace("https", "http"))


def test_a_certificate_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    settings = EdgeSettings(tls_certificate_file=str(tmp_path / "none.pem"))
    with pytest.raises(ConfigurationError, match=r"none\.pem cannot be used"):
        tls_context(settings)


def test_without_a_certificate_the_door_speaks_plainly() -> None:
    assert tls_context(EdgeSettings()) is None
