"""Ports: nobody else chooses one between its choice and the first word of its server."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.local import ports
from deploy.local.platform import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from deploy.local import ports
print(ports.choose(1)[0], flush=True)
sys.stdin.read()
"""


def test_a_chosen_port_is_claimed_before_its_server_listens() -> None:
    (port,) = ports.choose(1)
    assert not ports.is_unclaimed(port)


def test_a_held_port_lets_its_server_in_and_keeps_everyone_else_out() -> None:
    (port,) = ports.choose(1)
    with socket.create_server((ports.LOOPBACK, port)):
        assert ports.answers(port)
        assert not ports.is_unclaimed(port)
    assert not ports.is_unclaimed(port), "it is still held when its server is down"


def test_another_process_cannot_choose_a_held_port_until_its_holder_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        assert not ports.is_unclaimed(port)
        holder.communicate(timeout=30)
    assert ports.is_unclaimed(port)


def test_ports_are_kept_over_restarts_and_given_up_when_somebody_else_listens(
    tmp_path: Path,
) -> None:
    file = tmp_path / "ports.json"
    first = ports.keep_or_choose(file, ["a", "b"])
    assert ports.keep_or_choose(file, ["b", "a"]) == first
    foreign = socket.create_server((ports.LOOPBACK, 0))
    port = foreign.getsockname()[1]
    with foreign:
        file.write_text(f'{{"a": {port}}}')
        assert ports.keep_or_choose(file, ["a"])["a"] != port
