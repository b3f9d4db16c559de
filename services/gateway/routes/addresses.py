"""Where a request comes from, as every door of ours tells it."""

from services.chassis.addresses import Proxies

__all__ = ["Proxies"]
