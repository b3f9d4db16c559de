"""A model's worker: takes one request at a time, holds it as long as its work takes, answers.

`python -m deploy.demo.worker --speed 60`, started by an agent, which says in the environment
where the queue's address is (QM_QUEUE_FILE), which instance of which model this is
(QM_INSTANCE_ID, QM_MODEL), and which file to make once requests are taken (QM_READY_FILE).
A request is acknowledged after its result is on the broker's disk, so none is lost with a worker.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from deploy.demo.link import connected, lasting, send
from deploy.demo.messages import RESULTS, Result, decode_work

HEARTBEAT_S = 10
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Options:
    """How this worker works: trace seconds per second, where results go, how long it loads."""

    speed: float
    result_queue: str
    load_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """What the agent says about this worker."""

    queue_file: Path
    ready_file: Path
    instance: str
    model: str


def options_of(words: Sequence[str]) -> Options:
    """Return the options on a command line; exits with a usage message at a wrong one."""
    parser = argparse.ArgumentParser(prog="worker", description=__doc__)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--result-queue", default=RESULTS)
    parser.add_argument("--load-s", type=float, default=0.0)
    given = parser.parse_args(words)
    return Options(given.speed, given.result_queue, given.load_s)


async def work(place: Place, options: Options) -> None:
    """Load, then serve for ever; connections that are lost are made again."""
    await asyncio.sleep(options.load_s)
    await lasting(lambda: _serve(place, options))


async def _serve(place: Place, options: Options) -> None:
    url, queue_name = _address(place.queue_file)
    async with connected(url, place.instance) as connection:
        lost = _loss_of(connection)
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        channel.close_callbacks.add(lambda *_: _lose(lost))
        await channel.set_qos(prefetch_count=1)
        queue = await channel.get_queue(queue_name, ensure=False)
        taken: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        await queue.consume(taken.put)
        place.ready_file.touch()
        while True:
            message = await _unless(lost, taken.get())
            await _unless(lost, _handle(message, channel, place, options))


async def _handle(
    message: AbstractIncomingMessage, channel: AbstractChannel, place: Place, options: Options
) -> None:
    begun_at = time.time()
    request = decode_work(message.body)
    await asyncio.sleep(request.exec_s / options.speed)
    result = Result(
        id=request.id,
        model=request.model,
        instance=place.instance,
        published_at=request.published_at,
        begun_at=begun_at,
        redelivered=bool(message.redelivered),
    )
    await send(channel, options.result_queue, result.encode(), request.id)
    await message.ack()


def _address(file: Path) -> tuple[str, str]:
    """Return URL and queue; read at each connection, for a password may have changed."""
    given = json.loads(file.read_text())
    user, password = quote(given["username"], safe=""), quote(given["password"], safe="")
    place = f"{given['host']}:{given['port']}/{quote(given['vhost'], safe='')}"
    return f"amqp://{user}:{password}@{place}?heartbeat={HEARTBEAT_S}", given["queue"]


def _loss_of(connection: AbstractConnection) -> asyncio.Future[None]:
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    connection.close_callbacks.add(lambda *_: _lose(lost))
    return lost


def _lose(lost: asyncio.Future[None]) -> None:
    if not lost.done():
        lost.set_result(None)


async def _unless(lost: asyncio.Future[None], doing: Awaitable[_Value]) -> _Value:
    """Return what is done, unless the broker is lost first: then the request is another's."""
    task = asyncio.ensure_future(doing)
    either: set[asyncio.Future[Any]] = {task, lost}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ConnectionError("the broker was lost")
        return await task
    finally:
        task.cancel()


async def _main(place: Place, options: Options) -> None:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (a coroutine run by asyncio has a task)
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    with suppress(asyncio.CancelledError):
        await work(place, options)


def main() -> int:
    """Work until told to stop; return the exit code."""
    try:
        place = Place(
            Path(os.environ["QM_QUEUE_FILE"]),
            Path(os.environ["QM_READY_FILE"]),
            os.environ["QM_INSTANCE_ID"],
            os.environ["QM_MODEL"],
        )
    except KeyError as missing:
        sys.stderr.write(f"{missing.args[0]} is not set: a worker is started by an agent\n")
        return 2
    asyncio.run(_main(place, options_of(sys.argv[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
