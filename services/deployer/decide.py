"""What is to be done now, and what an agent's answer lets us say; all of it pure.

A stop wins over a start that is not finished. A start has failed only when nothing of the worker is
left: the agent refused it, or says that it has ended. An agent that does not answer is no failure;
it is asked until it answers or the scheduler wants the instance to end. What else keeps a command
from being sent (a secret, an address) says nothing of an earlier one: the worker is ended first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from contracts.envelope import Draft
from contracts.events.instance import InstanceStarted, InstanceStartFailed, InstanceStopped
from contracts.events.node import ProcessKilled, ProcessKillFailed
from contracts.http.agent import Fence, KillCommand, StartCommand, StopCommand
from services.deployer.state import Instance, Kill

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.envelope import Cause
    from contracts.http.agent import InstanceAnswer, Killed, SecretFile
    from services.deployer.state import State

ENDED = frozenset({"exited", "failed"})
MAX_TEXT = 4000
# Of a start: no word of the machine that has the GPU, or none of its present boot.
NOT_FROM_THERE = frozenset({"", "other_boot", "secret_needs_tls", "secret_refused"})
# What agents call it → what it is called in the log.
CODES = {"held": "refused_gpu_held"}


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to do at one node; `key` is its subject, of which only one is done at a time."""

    kind: Literal["start", "stop", "kill"]
    key: str
    node_id: str
    subject: Instance | Kill


def jobs(state: State) -> dict[str, Job]:
    """Return everything that is to be done, by key."""
    wanted: dict[str, Job] = {}
    for instance in state.instances.values():
        if instance.stop is not None or not instance.started:
            kind: Literal["start", "stop"] = "stop" if instance.stop else "start"
            key = f"instance/{instance.instance_id}"
            wanted[key] = Job(kind, key, instance.node_id, instance)
    for kill in state.kills.values():
        key = f"kill/{kill.position}"
        wanted[key] = Job("kill", key, kill.node_id, kill)
    return wanted


def agent_of(state: State, job: Job) -> str | None:
    """Return the URL of who does a job; None where nobody can be asked.

    What a deleted node left on a GPU is ended by the node that has this GPU now.
    """
    url = state.agents.get(job.node_id)
    if url is None and job.kind == "stop" and isinstance(job.subject, Instance):
        url = state.agents.get(state.homes.get(job.subject.gpu_uuid, ""))
    return url


def cause(job: Job) -> Cause:
    """Return what asked for a job."""
    subject = job.subject
    if isinstance(subject, Kill):
        return subject.asked_by
    return (subject.unwanted_by if job.kind == "stop" else None) or subject.wanted_by


def start_command(instance: Instance, secrets: tuple[SecretFile, ...] = ()) -> StartCommand:
    """Return the command that starts an instance; the same one every time."""
    return StartCommand(
        instance_id=instance.instance_id,
        model_name=instance.model_name,
        gpu_uuid=instance.gpu_uuid,
        boot_id=instance.boot_id,
        launch=instance.launch,
        fence=instance.fence,
        on_lost_control=instance.on_lost_control,
        secret_files=secrets,
    )


def stop_command(instance: Instance, grace_s: float) -> StopCommand:
    """Return the command that ends an instance; before any stop was asked, its start's fence."""
    return StopCommand(fence=instance.stop or instance.fence, grace_s=grace_s)


def kill_command(kill: Kill, epoch: int, expires_at: datetime) -> KillCommand:
    """Return the command that kills a process, worthless after `expires_at`: pids are reused."""
    return KillCommand(fence=Fence(epoch=epoch, position=kill.position), expires_at=expires_at)


def begun(instance: Instance, answer: InstanceAnswer) -> Draft | None:
    """Return what an answer says of a start: ready, failed, or nothing yet."""
    report = answer.instance
    if report.state == "ready":
        started = InstanceStarted(
            instance_id=instance.instance_id,
            model_id=instance.model_id,
            node_id=instance.node_id,
            gpu_uuid=instance.gpu_uuid,
            pid=report.pid,
            load_s=answer.load_s or 0.0,
            endpoint=report.endpoint,
        )
        return Draft(f"instance/{instance.instance_id}", started).because(instance.wanted_by)
    if report.state in ENDED:
        return start_failed(instance, answer.error_code or "exited", _why(answer))
    return None


def start_failed(instance: Instance, code: str, error: str) -> Draft:
    """Return the fact that a start came to nothing."""
    failed = InstanceStartFailed(
        instance_id=instance.instance_id,
        model_id=instance.model_id,
        node_id=instance.node_id,
        gpu_uuid=instance.gpu_uuid,
        code=CODES.get(code, code) or "refused",
        error=_text(error),
    )
    return Draft(f"instance/{instance.instance_id}", failed).because(instance.wanted_by)


def stopped(instance: Instance, exit_code: int | None) -> Draft:
    """Return the fact that a wanted death is confirmed."""
    event = InstanceStopped(
        instance_id=instance.instance_id,
        model_id=instance.model_id,
        node_id=instance.node_id,
        gpu_uuid=instance.gpu_uuid,
        exit_code=exit_code,
    )
    cause = instance.unwanted_by or instance.wanted_by
    return Draft(f"instance/{instance.instance_id}", event).because(cause)


def killed(kill: Kill, answer: Killed) -> Draft:
    """Return the fact that a process is dead."""
    event = ProcessKilled(node_id=kill.node_id, pid=kill.pid, found=answer.found)
    return Draft(f"process/{kill.node_id}", event).because(kill.asked_by)


def kill_failed(kill: Kill, error: str) -> Draft:
    """Return the fact that a process was not killed, and why."""
    event = ProcessKillFailed(node_id=kill.node_id, pid=kill.pid, error=_text(error))
    return Draft(f"process/{kill.node_id}", event).because(kill.asked_by)


def is_dead(answer: InstanceAnswer) -> bool:
    """Return whether the agent confirms that nothing of the instance runs."""
    return answer.instance.state in ENDED


def is_unknown(answer: InstanceAnswer) -> bool:
    """Return whether the agent only says that it has never heard of the instance."""
    return answer.error_code == "unknown_instance"


def is_of_the_machine(code: str) -> bool:
    """Return whether a refused start was refused by the machine that was meant."""
    return code not in NOT_FROM_THERE


def _why(answer: InstanceAnswer) -> str:
    exit_code = answer.instance.exit_code
    error = answer.error or ("the worker ended" if exit_code is None else f"exit code {exit_code}")
    return f"{error}\n{answer.log_tail}" if answer.log_tail else error


def _text(text: str) -> str:
    """Return what an event may hold of a text: its end, where a log says what went wrong."""
    clean = text.replace("\x00", "")
    if len(clean) <= MAX_TEXT:
        return clean
    head, tail = clean[: MAX_TEXT // 4], clean[-(MAX_TEXT * 3 // 4 - 3) :]
    return f"{head}...{tail}"
