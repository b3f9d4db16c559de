"""What the Management API says of a queue, and what of it is believed."""

import orjson

from services.queue_sampler.adapters.management import parse
from services.queue_sampler.state import Reading

QUEUE = {"name": "llama", "messages_ready": 1, "messages_unacknowledged": 2, "consumers": 3}


def test_a_queue_says_how_many_were_published():
    body = orjson.dumps({**QUEUE, "message_stats": {"publish": 9}})
    assert parse(body) == Reading(1, 2, 3, 9)


def test_a_queue_to_which_nothing_was_published_yet_counts_from_nothing():
    for stats in ({}, {"message_stats": {}}, {"message_stats": None}):
        assert parse(orjson.dumps({**QUEUE, **stats})) == Reading(1, 2, 3, 0)
