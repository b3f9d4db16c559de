"""Whatever address somebody names, nothing is connected to but what its list allows."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.types import QueueAddress
from services.alerter.adapters.webhook import WebhookDoor
from services.alerter.decide import Letter
from services.chassis.agents import Access, Agents
from services.chassis.clock import SystemClock
from services.chassis.errors import QuartermasterError
from services.chassis.targets import PRIVATE_NETWORKS, AllowList
from services.chassis.webhook_targets import PublicNetworks, WebhookTargets
from services.queue_sampler.adapters.management import ManagementApi
from services.queue_sampler.state import Failure
from tests.unit.hostile.mutations import hostile

if TYPE_CHECKING:
    from collections.abc import Iterator

V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
INNER = st.sampled_from(
    [ipaddress.ip_network(each) for each in ("127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16")]
).flatmap(lambda network: st.ip_addresses(network=str(network)))
# An address somebody wants us to take for a public one: as it is, and as IPv6 can write it.
DISGUISED = INNER.flatmap(
    lambda inner: st.sampled_from(
        [
            inner,
            ipaddress.IPv6Address(f"::ffff:{inner}"),
            ipaddress.IPv6Address(f"64:ff9b::{inner}"),
            ipaddress.IPv6Address((0x2002 << 112) | (int(inner) << 80)),
        ]
    )
)
HOSTS = st.sampled_from(
    [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1.",
        "[::1]",
        "localhost",
        "::1%lo",
    ]
)
PARTS = st.sampled_from(
    [
        *("http", "https", "file", "gopher", ":", "//", "/", "@", "#", "?", "\\", "%", "[", "]"),
        *("127.0.0.1", "::1", "evil.example", "localhost", "169.254.169.254", "xn--", "."),
        *("\r\n", "\t", " ", "\x00", "\u2460", "\u00e4", "\U0001f600", "x" * 70),
        *(":80", ":99999", "%0d%0aHost:x", "user:pass"),
    ]
)
URLS = st.lists(PARTS, max_size=8).map("".join) | st.text(max_size=30)


@hostile
@given(DISGUISED)
def test_no_disguise_makes_an_inner_address_a_public_one(address: Any):
    assert not PublicNetworks(()).allows(address)


@hostile
@given(V4 | V6)
def test_only_what_lies_in_a_listed_network_is_allowed(address: Any):
    plain = getattr(address, "ipv4_mapped", None) or address
    listed = any(plain in ipaddress.ip_network(network) for network in PRIVATE_NETWORKS)
    assert AllowList(PRIVATE_NETWORKS).allows(address) is listed


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where a connection was tried; none is made. Every name resolves to an inner address."""
    tried: list[Any] = []

    async def resolve(_loop: Any, host: Any, *_: Any, **__: Any) -> list[Any]:
        return [(0, 0, 0, "", ("127.0.0.1", 0))]

    async def connect(_loop: Any, *where: Any, **_: Any) -> None:
        tried.append(where)
        raise ConnectionRefusedError

    loops = asyncio.base_events.BaseEventLoop
    monkeypatch.setattr(loops, "getaddrinfo", resolve)
    monkeypatch.setattr(loops, "create_connection", connect)
    return tried


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_no_url_makes_a_webhook_go_inside_or_break(connected: list[Any], runner: asyncio.Runner):
    door = WebhookDoor(WebhookTargets(()), SystemClock(), timeout_s=5.0)

    @hostile
    @given(URLS | HOSTS.map("https://{}/".format))
    def whatever(url: str) -> None:
        assert runner.run(door.post(Letter(url, "id", b"{}"), None)).error

    whatever()
    runner.run(door.close())
    assert connected == []


def test_no_url_makes_an_agents_client_go_elsewhere_or_break(
    connected: list[Any], runner: asyncio.Runner
):
    agents = Agents(Access(networks=("10.0.0.0/8",)))

    async def ask(url: str) -> None:
        agent = agents.connect(url)
        try:
            await agent.status()
        finally:
            await agent.close()

    @hostile
    @given(URLS | HOSTS.map("http://{}:1".format))
    def whatever(url: str) -> None:
        with pytest.raises(QuartermasterError):
            runner.run(ask(url))

    whatever()
    assert connected == []


@pytest.mark.parametrize("network", ["10.0.0.0/8", "127.0.0.0/8"])
def test_no_broker_that_somebody_names_breaks_the_sampler(
    connected: list[Any], runner: asyncio.Runner, network: str
):
    api = ManagementApi(AllowList((network,)), timeout_s=5.0)
    names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)

    @hostile
    @given(names | HOSTS, names, names, names)
    def whatever(host: str, vhost: str, queue: str, user: str) -> None:
        address = QueueAddress(host=host, vhost=vhost, name=queue, username=user)
        said = runner.run(api.read(address, "secret"))
        assert isinstance(said, Failure)
        assert said.code == "unreachable"

    whatever()
    runner.run(api.close())
    assert network == "127.0.0.0/8" or connected == []
