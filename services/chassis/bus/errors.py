"""What RabbitMQ's client raises, as errors of our own tree."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from aio_pika import exceptions
from aiormq.exceptions import ChannelAccessRefused

from services.chassis.errors import Refused, Unavailable
from services.chassis.supervision import ending_only_when_told

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def mapped(doing: str) -> Iterator[None]:
    """Turn the client's errors into Unavailable, or Refused where a repeat would not help.

    Nobody bound is Unavailable: the topology is the journal's to declare, not the caller's fault.
    """
    with ending_only_when_told(doing), _in_our_words(doing):
        yield


@contextmanager
def _in_our_words(doing: str) -> Iterator[None]:
    try:
        yield
    except exceptions.PublishError as error:
        raise Unavailable(f"{doing}: nobody is bound to receive it") from error
    except ChannelAccessRefused as error:
        raise Refused(f"{doing}: {error}") from error
    except TimeoutError as error:
        raise Unavailable(f"{doing}: the broker did not answer in time") from error
    except (exceptions.AMQPError, ConnectionError, OSError, RuntimeError) as error:
        raise Unavailable(f"{doing}: {str(error) or type(error).__name__}") from error
