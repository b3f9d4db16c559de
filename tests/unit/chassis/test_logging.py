"""Log lines: no secret in them, wherever it lies."""

import orjson
import pytest

from services.chassis.logging import HIDDEN, redact

CANARY = "c4n4ry"


@pytest.mark.parametrize(
    "entry",
    [
        {"password": CANARY},
        {"db_passwd": CANARY},
        {"api_key": CANARY},
        {"client_secret": CANARY},
        {"Authorization": f"Bearer {CANARY}"},
        {"cookie": CANARY},
        {"token": {"value": CANARY}},
        {"event": f"calling with Bearer {CANARY}"},
        {"event": f"amqp://user:{CANARY}@host/vhost is away"},
        {"event": f"amqp://user:a@{CANARY}@host/vhost"},
        {"event": f"postgresql://:{CANARY}@host"},
        {"url": [f"amqp://u:{CANARY}@h"]},
        {"headers": {"authorization": CANARY}},
        {"deep": [{"settings": {"private_key": CANARY}}]},
        {"exception": f"Traceback ...\nOSError: amqp://u:{CANARY}@h/x"},
        {"because": OSError(f"amqp://u:{CANARY}@h/x")},
    ],
)
def test_a_secret_is_hidden_wherever_it_lies(entry):
    line = orjson.dumps(redact(None, "", dict(entry)), default=str).decode()
    assert CANARY not in line
    assert HIDDEN in line


def test_what_is_no_secret_is_told_as_it_is():
    entry = {"event": "see https://host/path?a=b and x@y", "position": 7, "ok": True, "why": None}
    assert redact(None, "", dict(entry)) == entry
    assert redact(None, "", {"user": "amqp://u:p@h"}) == {"user": f"amqp://u:{HIDDEN}@h"}
    assert redact(None, "", {"secret_id": "s-1"}) == {"secret_id": "s-1"}
