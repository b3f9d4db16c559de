"""Who may do what on the broker: one line per service, least rights.

Binding a queue needs `read` on the exchange and `write` on the queue. Passive declares need no
right at all. Every service may do everything with its own follower and reply queues, nothing with
another's. Who answers requests writes to the default exchange, which the broker calls amq.default.
"""

from dataclasses import dataclass

VHOST = "quartermaster"
MODELS_VHOST = "models"  # the queues of the demo's models, as a foreign broker would have them

ANYTHING = ".*"
NOTHING = "^$"
ANSWERS = "amq.default"


@dataclass(frozen=True)
class Rights:
    """What a service uses beside its own queues, by exact name."""

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()


FOLLOWER = ("qm.recorded", "qm.beacon")
PROPOSER = ("qm.proposed", "qm.journal")

SERVICES = {
    "gateway": Rights((*PROPOSER, "qm.vault", "qm.asked"), (*FOLLOWER, "gateway.lead")),
    "vault": Rights((*PROPOSER, ANSWERS), (*FOLLOWER, "vault.lead", "vault.asked")),
    "node_monitor": Rights((*PROPOSER, "qm.vault"), (*FOLLOWER, "node_monitor.lead")),
    "queue_sampler": Rights((*PROPOSER, "qm.vault"), (*FOLLOWER, "queue_sampler.lead")),
    "scheduler": Rights((*PROPOSER, ANSWERS), (*FOLLOWER, "scheduler.lead", "scheduler.asked")),
    "deployer": Rights((*PROPOSER, "qm.vault"), (*FOLLOWER, "deployer.lead")),
    "alerter": Rights((*PROPOSER, "qm.vault"), (*FOLLOWER, "alerter.lead")),
    "projector": Rights(("qm.journal",), (*FOLLOWER, "projector.lead")),
    "query": Rights(("qm.journal", "qm.asked"), FOLLOWER),
    "cli": Rights((*PROPOSER, "qm.asked"), (*FOLLOWER, "qm.parked")),
    "demo": Rights(PROPOSER, FOLLOWER),
    # Whoever listens from outside: in queues `subscriber.<name>.recorded` of their own.
    "subscriber": Rights((), FOLLOWER),
}

# The journal declares the topology for all: every exchange, every durable queue, every binding.
TOPOLOGY = r"qm\.[a-z]+|[a-z_]+\.(proposed|asked|lead)"

# Users that are no service: name → tags.
PEOPLE = {
    "admin": "administrator",  # the engines' own: health checks, imports
    "operator": "management",  # looks at everything, changes nothing but by purging
    "models": "monitoring",  # whoever feeds and drains the demo's model queues
    "sampler": "monitoring",  # what the queue sampler is given for the models' broker
}


def of_service(service: str) -> dict[str, str]:
    """Return the configure, write and read patterns of a service in the main vhost."""
    own = rf"{service}\.[^.]+\.(recorded|replies)"
    if service == "journal":
        everything = f"^({TOPOLOGY}|{own})$"
        return {
            "configure": everything,
            "write": f"^({TOPOLOGY}|{own}|{_exactly(ANSWERS)})$",
            "read": everything,
        }
    rights = SERVICES[service]
    return {
        "configure": f"^{own}$",
        "write": f"^({'|'.join([own, *map(_exactly, rights.writes)])})$",
        "read": f"^({'|'.join([own, *map(_exactly, rights.reads)])})$",
    }


def all_permissions() -> list[dict[str, str]]:
    """Return every permission as a definitions file lists them."""
    full = {"configure": ANYTHING, "write": ANYTHING, "read": ANYTHING}
    look = {"configure": NOTHING, "write": NOTHING, "read": ANYTHING}
    services = [
        {"user": service, "vhost": VHOST, **of_service(service)} for service in service_names()
    ]
    return [
        *services,
        {"user": "admin", "vhost": VHOST, **full},
        {"user": "admin", "vhost": MODELS_VHOST, **full},
        {"user": "operator", "vhost": VHOST, **look},
        {"user": "operator", "vhost": MODELS_VHOST, **look},
        {"user": "models", "vhost": MODELS_VHOST, **full},
        {"user": "demo", "vhost": MODELS_VHOST, **full},
        {"user": "sampler", "vhost": MODELS_VHOST, **look},
    ]


def service_names() -> list[str]:
    """Return the services that have a broker user, the journal among them."""
    return ["journal", *SERVICES]


def _exactly(name: str) -> str:
    return name.replace(".", r"\.")
