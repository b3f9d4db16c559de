"""Which addresses may be connected to, when people name them."""

from ipaddress import ip_address
from typing import Annotated

import pytest
from pydantic import TypeAdapter, ValidationError

from services.chassis.errors import Refused
from services.chassis.targets import PRIVATE_NETWORKS, AllowList, Networks


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("::1", True),
        ("::ffff:10.1.2.3", True),
        ("169.254.169.254", False),
        ("8.8.8.8", False),
        ("::ffff:169.254.169.254", False),
        ("0.0.0.0", False),  # noqa: S104 (refused, not bound)
    ],
)
async def test_private_networks_may_be_reached_and_nothing_else(address, allowed):
    networks = AllowList(PRIVATE_NETWORKS)
    assert networks.allows(ip_address(address)) is allowed
    if allowed:
        assert ip_address(await networks.address(address)) == ip_address(address)
    else:
        with pytest.raises(Refused, match="in no network"):
            await networks.address(address)


async def test_one_forbidden_address_of_a_name_forbids_the_name(monkeypatch):
    networks = AllowList(["10.0.0.0/8"])

    async def resolve(host):
        return [ip_address("10.0.0.1"), ip_address("169.254.169.254")]

    monkeypatch.setattr(networks, "_resolve", resolve)
    with pytest.raises(Refused, match=r"169\.254\.169\.254"):
        await networks.address("rebound.example")


def test_networks_are_told_comma_separated_and_each_must_be_one():
    setting = TypeAdapter(Annotated[tuple[str, ...], Networks])
    assert setting.validate_python("10.0.0.0/8, ::1/128") == ("10.0.0.0/8", "::1/128")
    with pytest.raises(ValidationError):
        setting.validate_python("10.0.0.0/8, example.org")
