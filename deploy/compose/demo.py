"""The demo inside of compose: an environment, models, two nodes, and a load that goes on."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from deploy.demo import fleet, generator, trace
from deploy.demo.client import Gateway
from deploy.demo.collector import Collector
from deploy.demo.load import BETWEEN_ROUNDS_S
from deploy.demo.publisher import Publisher
from deploy.demo.trace import Request
from deploy.local.platform import Node
from deploy.rabbitmq.permissions import MODELS_VHOST

USER = "models"
REQUESTS, SEED = 400, 1
GPUS = 4


def nodes(urls: str) -> list[Node]:
    """Return the nodes of a comma-separated list of addresses, each named by its host."""
    return [Node(urlsplit(url).hostname or url, url, GPUS) for url in urls.split(",")]


def broker(environment: Mapping[str, str]) -> fleet.Broker:
    """Return where the models' queues are."""
    host, password = environment["QM_DEMO_BROKER"], environment["QM_DEMO_PASSWORD"]
    return fleet.Broker(host, 15672, 5672, MODELS_VHOST, USER, password)


def load() -> Iterator[Request]:
    """Yield requests for ever."""
    return iter(trace.rounds(generator.generate(REQUESTS, SEED), BETWEEN_ROUNDS_S))


async def main(environment: Mapping[str, str]) -> None:
    """Create what is not there yet, then publish until stopped."""
    speed = float(environment["QM_DEMO_SPEED"])
    at = broker(environment)
    url = f"amqp://{at.username}:{at.password}@{at.host}/{at.vhost}"
    publisher, results = Publisher(url, speed), Collector(url)
    models = {kind.name: kind.exec_s for kind in generator.KINDS}
    await publisher.declare(list(models))
    gateway = Gateway(
        environment["QM_GATEWAY_URL"], environment["QM_API_TOKEN"], environment["API_V1_STR"]
    )
    try:
        await fleet.create(gateway, nodes(environment["QM_DEMO_NODES"]), models, speed, at)
    finally:
        await gateway.close()
    await asyncio.gather(publisher.run(load()), results.run())


if __name__ == "__main__":
    asyncio.run(main(os.environ))
