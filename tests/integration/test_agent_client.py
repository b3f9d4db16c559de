"""The client of agents: mutual TLS, and addresses that are no agent's."""

import datetime as dt
import ssl
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.chassis.agents import Access, Agents
from services.chassis.errors import Refused, Unavailable
from tests.fake_agent import FakeAgent

LOOPBACK = x509.SubjectAlternativeName(
    [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
)


class Authority:
    """Signs certificates for one test."""

    def __init__(self, folder):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
        usage = x509.BasicConstraints(ca=True, path_length=None)
        made = self._made(self.name, self.key.public_key()).add_extension(usage, critical=True)
        self.file = folder / "ca.pem"
        certificate = made.sign(self.key, hashes.SHA256())
        self.file.write_bytes(certificate.public_bytes(Encoding.PEM))

    def _made(self, subject, public_key):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )

    def issue(self, name):
        """Return the file of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._made(subject, key.public_key()).add_extension(LOOPBACK, critical=False)
        signed = made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file = self.folder / f"{name}.pem"
        file.write_bytes(signed + private)
        return str(file)


@pytest.fixture
def authority(tmp_path):
    (tmp_path / "ours").mkdir()
    return Authority(tmp_path / "ours")


@pytest.fixture
async def agent(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("node"))
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    async with FakeAgent(tls=context) as made:
        yield made


async def asked(url, access):
    client = Agents(access).connect(url)
    try:
        return await client.status()
    finally:
        await client.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_both_sides_prove_who_they_are(agent, authority, host):
    access = Access(ca=str(authority.file), cert=authority.issue("node_monitor"))
    url = f"https://{host}:{agent.port}"
    assert (await asked(url, access)).node_id == "node-1"


async def test_an_agent_refuses_whoever_shows_no_certificate(agent, authority):
    with pytest.raises(Unavailable):
        await asked(agent.url, Access(ca=str(authority.file)))


async def test_an_agent_of_another_authority_is_not_spoken_to(agent, authority, tmp_path):
    (tmp_path / "theirs").mkdir()
    other = Authority(tmp_path / "theirs")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await asked(agent.url, Access(ca=str(other.file), cert=authority.issue("node_monitor")))
    assert agent.requests == []


async def test_every_address_of_a_name_is_tried(monkeypatch):
    async with FakeAgent() as agent:
        client = Agents(Access()).connect(f"http://many.example:{agent.port}")

        async def resolve(host):
            return ["::1", "127.0.0.1"]

        monkeypatch.setattr(client._allowed, "addresses", resolve)
        with pytest.raises(Unavailable):
            await client.status()
        assert (await client.status()).node_id == "node-1"
        await client.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "127.0.0.1:80", "http://", "http://[::1"])
async def test_what_is_no_address_is_refused(url):
    with pytest.raises(Refused, match="no address"):
        await asked(url, Access())
