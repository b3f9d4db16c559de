"""RabbitMQ behind the port `Bus`: the only place that speaks AMQP."""

from services.chassis.bus.rabbit import RabbitBus, connect
from services.chassis.bus.topology import declare

__all__ = ["RabbitBus", "connect", "declare"]
