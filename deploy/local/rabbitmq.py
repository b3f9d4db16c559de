"""A private RabbitMQ node with an epmd of its own, loopback only, on free ports."""

import json
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import httpx2

from deploy.local import access, ports, processes
from deploy.local.access import Credentials
from deploy.local.errors import EngineError
from deploy.local.packages import Broker, find_or_get
from deploy.local.places import make_directory, replace_file
from deploy.local.processes import Recorded
from deploy.local.waiting import holds_within

READY_WITHIN_S = 60.0
REUSE_WITHIN_S = 5.0
STOP_WITHIN_S = 20.0  # the management agent alone takes six seconds to stop
NODE = "qm@localhost"  # names its data: never change it
PORTS = ("amqp", "management", "prometheus", "epmd", "dist")
HEALTH = "/api/health/checks/local-alarms"
PLUGINS = "[rabbitmq_management,rabbitmq_prometheus].\n"

CONFIGURATION = """\
listeners.tcp.1 = {host}:{amqp}
management.tcp.ip = {host}
management.tcp.port = {management}
prometheus.tcp.ip = {host}
prometheus.tcp.port = {prometheus}
load_definitions = {definitions}
log.console = true
log.console.level = warning
log.file = false
heartbeat = 5
consumer_timeout = 1800000
collect_statistics_interval = 500
management.rates_mode = basic
management.sample_retention_policies.global.minute = 1
management.sample_retention_policies.basic.minute = 1
management.sample_retention_policies.detailed.minute = 1
disk_free_limit.absolute = 200MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 64000000
"""

# Quorum queues tell their length by a tick of their own, which only this file can set.
ADVANCED = "[{rabbit, [{quorum_tick_interval, 500}]}].\n"


class RabbitMQ:
    """The broker of one state directory."""

    def __init__(self, state: Path, credentials: Credentials) -> None:
        self.home = state / "rabbitmq"
        self.credentials = credentials
        self.record = state / "run" / "rabbitmq.json"
        self.log = state / "logs" / "rabbitmq.log"
        self._epmd_record = state / "run" / "epmd.json"
        self._ports = state / "run" / "rabbitmq.ports.json"
        self._definitions = self.home / "definitions.json"

    @property
    def ports(self) -> dict[str, int]:
        """The ports by name (amqp, management, prometheus, epmd, dist), kept over restarts."""
        return ports.recall(self._ports)

    def start(self) -> None:
        """Start the node on its data and wait until it is ready; reuse a healthy one."""
        if self.is_running() and holds_within(REUSE_WITHIN_S, self._answers):
            return self._refresh()
        self.stop(immediately=True)
        chosen = ports.keep_or_choose(self._ports, PORTS)
        self._write_files(chosen)
        broker = find_or_get()
        self._start_epmd(broker, chosen["epmd"])
        return self._start_node(broker, chosen)

    def stop(self, *, immediately: bool = False) -> None:
        """Stop the node, which writes all it holds unless immediately, then its epmd."""
        how = signal.SIGKILL if immediately else signal.SIGTERM
        processes.stop(self.record, with_signal=how, grace_s=STOP_WITHIN_S)
        processes.stop(self._epmd_record, with_signal=signal.SIGTERM, grace_s=5)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop and start on the same data and ports; immediate is a crash."""
        self.stop(immediately=immediate)
        self.start()

    def kill(self) -> None:
        """Kill the node as a crash would, its epmd stays; start() brings it back."""
        processes.kill(self.record)

    def is_running(self) -> bool:
        """Tell whether the node that was started last still lives."""
        return processes.find(processes.recall(self.record)) is not None

    def is_healthy(self) -> bool:
        """Tell whether the node answers and raises no alarm."""
        return self.is_running() and self._answers()

    def control(self, *words: str) -> tuple[str, list[str], dict[str, str]]:
        """Return program, arguments and environment with which rabbitmqctl speaks to this node."""
        broker = find_or_get()
        environment = self._environment(broker, self.ports)
        return str(broker.scripts / "rabbitmqctl"), list(words), environment

    def _answers(self) -> bool:
        """Tell whether clients can work: the API answers some time before AMQP does."""
        try:
            return self._ask("GET", HEALTH).is_success and ports.answers(self.ports["amqp"])
        except httpx2.HTTPError:
            return False

    def _refresh(self) -> None:
        """Tell a running node of users and rights that it was not started with."""
        wanted = access.definitions(self.credentials)
        if self._definitions.read_text() == wanted:
            return
        answer = self._ask("POST", "/api/definitions", json.loads(wanted))
        if answer.is_error:
            raise EngineError(f"RabbitMQ refused its users ({answer.text}): stop and start it")
        replace_file(self._definitions, wanted)

    def _ask(self, method: str, path: str, body: object = None) -> httpx2.Response:
        url = f"http://{ports.LOOPBACK}:{self.ports['management']}{path}"
        admin = ("admin", self.credentials.broker["admin"])
        return httpx2.request(method, url, json=body, auth=admin, timeout=5, trust_env=False)

    def _write_files(self, chosen: dict[str, int]) -> None:
        for directory in ("", "mnesia", "log", "home"):
            make_directory(self.home / directory, 0o700)
        cookie = self.home / "home" / ".erlang.cookie"
        if not cookie.exists():
            replace_file(cookie, secrets.token_hex(16), 0o400)
        configuration = CONFIGURATION.format(
            host=ports.LOOPBACK, definitions=self._definitions, **chosen
        )
        replace_file(self.home / "rabbitmq.conf", configuration)
        replace_file(self.home / "advanced.config", ADVANCED)
        replace_file(self.home / "enabled_plugins", PLUGINS)
        replace_file(self._definitions, access.definitions(self.credentials))

    def _start_epmd(self, broker: Broker, port: int) -> None:
        """Start the port mapper before the node, which else starts one that outlives it."""
        recorded = processes.spawn(
            [str(broker.erlang / "epmd"), "-address", ports.LOOPBACK, "-port", str(port)],
            word=str(port),
            record=self._epmd_record,
            log=self.log,
            env=self._environment(broker, self.ports),
            outlives=True,
        )
        self._wait("epmd", recorded, lambda: ports.answers(port), 5.0)

    def _start_node(self, broker: Broker, chosen: dict[str, int]) -> None:
        mark = f"quartermaster-{chosen['dist']}"
        recorded = processes.spawn(
            [str(broker.scripts / "rabbitmq-server"), "-mark", mark],
            word=mark,
            record=self.record,
            log=self.log,
            env=self._environment(broker, chosen),
            outlives=True,
        )
        self._wait("RabbitMQ", recorded, self._answers, READY_WITHIN_S)

    def _wait(
        self, name: str, recorded: Recorded, ready: Callable[[], bool], within_s: float
    ) -> None:
        holds_within(within_s, lambda: ready() or processes.exited(recorded), pause_s=0.05)
        if processes.exited(recorded) or not ready():
            self.stop(immediately=True)
            end = processes.last_words(self.log)
            raise EngineError(f"{name} did not start; the end of {self.log}:\n{end}")

    def _environment(self, broker: Broker, chosen: dict[str, int]) -> dict[str, str]:
        schedulers = min(4, os.cpu_count() or 1)
        loopback = "-kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": f"{broker.erlang}:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self.home / "home"),
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the node: one process, one id
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home / "log"),
            "RABBITMQ_PID_FILE": str(self.home / "rabbit.pid"),
            "RABBITMQ_DIST_PORT": str(chosen["dist"]),
            "ERL_EPMD_PORT": str(chosen["epmd"]),
            "ERL_EPMD_ADDRESS": ports.LOOPBACK,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{loopback} +S {schedulers}:{schedulers} +B i",
        }
