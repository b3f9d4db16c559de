"""Packets lost by the kernel itself, on a few ports of the loopback: for root with iptables."""

from __future__ import annotations

import os
import shutil
from asyncio import create_subprocess_exec
from asyncio.subprocess import DEVNULL
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


@asynccontextmanager
async def lost(share: float, ports: Iterable[int]) -> AsyncIterator[bool]:
    """Lose this share of all packets to and from some ports; yield whether that could be done."""
    these = ",".join(map(str, ports))
    chosen = f"-m statistic --mode random --probability {share}"
    rules = [
        f"-i lo -p tcp -m multiport {way} {these} {chosen} -j DROP".split()
        for way in ("--dports", "--sports")
    ]
    made: list[list[str]] = []
    try:
        while len(made) < len(rules) and await _iptables("-I", *rules[len(made)]):
            made.append(rules[len(made)])
        yield made == rules
    finally:
        for rule in made:
            assert await _iptables("-D", *rule), "a rule of the firewall could not be taken back"


async def _iptables(change: str, *rule: str) -> bool:
    if os.geteuid() != 0 or shutil.which("iptables") is None:
        return False
    process = await create_subprocess_exec(
        "iptables", "-w", change, "INPUT", *rule, stdout=DEVNULL, stderr=DEVNULL
    )
    return await process.wait() == 0
