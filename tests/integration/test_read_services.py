"""The projector and the query service as processes: what is recorded is read, to the end."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest

from services.chassis.database import connect_pool
from tests import fleet
from tests.recorded import put, recorded


@asynccontextmanager
async def running(service, **environment):
    """Run a service; yield its process, end it and demand that it ends well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", service, env={**os.environ, **environment}
    )
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def a_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
async def owner(database):
    owner = await connect_pool(database.owner_url(), service="test", max_size=2)
    yield owner
    await owner.close()


async def test_what_is_recorded_is_read_though_the_projector_comes_and_goes(
    database, broker, owner
):
    events = recorded([fleet.an_environment(), fleet.a_model(), fleet.a_node()])
    port = a_port()
    reads = {"QM_DATABASE_URL": database.url("query"), "QM_HTTP_PORT": str(port)}
    writes = {
        "QM_DATABASE_URL": database.url("projector"),
        "QM_AMQP_URL": broker.url("projector"),
    }
    base = f"http://127.0.0.1:{port}"
    async with running("query", **reads), httpx2.AsyncClient(base_url=base) as client:
        async with running("projector", **writes):
            await put(owner, events[:2])
            model = await read(client, "/models/llama", 2)
            assert model.json()["name"] == "Llama"
            assert (await client.get("/nodes/n1")).status_code == 404
        await put(owner, events[2:])
        async with running("projector", **writes):
            node = await read(client, "/nodes/n1", 3)
            assert node.json()["name"] == "N1"
        assert (await client.get("/status")).json()["lag"] == 0


async def read(client, path, position):
    async with asyncio.timeout(30):
        while True:
            try:
                answer = await client.get(path, params={"min_position": position}, timeout=10)
            except httpx2.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code != 503:
                return answer
