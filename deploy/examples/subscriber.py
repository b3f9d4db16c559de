"""Print what is recorded as it happens: subscriber.py AMQP_URL TYPE... (see asyncapi.json)."""

import asyncio
import json
import sys

import aio_pika

KEPT = {"x-queue-type": "quorum", "x-max-length-bytes": 64 * 1024 * 1024}


async def main(url: str, *types: str) -> None:
    """Follow these types of events in a queue of our own, which keeps them while we are away."""
    async with await aio_pika.connect_robust(url) as connection:
        channel, name, seen = await connection.channel(), "subscriber.example.recorded", 0
        queue = await channel.declare_queue(name, durable=True, arguments=KEPT)
        for type_ in types:
            await queue.bind("qm.recorded", routing_key=type_)
        async with queue.iterator() as runs:
            async for run in runs:
                async with run.process():  # acknowledged after the effect: rather twice than never
                    for event in json.loads(run.body):  # a run has its neighbours of other types
                        if event["type"] in types and event["position"] > seen:
                            print(json.dumps(event), flush=True)
                            seen = event["position"]


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
