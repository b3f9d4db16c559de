"""FAULTS: what may happen to a fleet, one function each, and a schedule that a seed draws."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING

from tests.simulation.parts import NAMES
from tests.simulation.weather import CALM, Weather

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulation.world import World

STORM = Weather(
    slow=0.05,
    unsent=0.03,
    unconfirmed=0.03,
    doubled=0.05,
    dropped=0.05,
    statement_failed=0.02,
    outcome_unknown=0.02,
    answer_lost=0.05,
    command_stuck=0.12,
    save_failed=0.05,
    load_failed=0.1,
    worker_fails=0.2,
)
GAP_S = (5.0, 40.0)


async def crash_a_service(world: World) -> None:
    """Kill a service and start it again after a while."""
    name = world.pick(list(NAMES))
    world.parts.crash(name)
    await asyncio.sleep(world.between(0.5, 20.0))
    world.parts.start(name)


async def cut_a_connection(world: World) -> None:
    """Take a service's connection to the broker away; it connects again by itself."""
    world.parts.cut(world.pick(list(NAMES)))


async def pause_a_service(world: World) -> None:
    """Freeze a service past its connection's life, then let it go on as if nothing had been."""
    name = world.pick(list(NAMES))
    await world.parts.pause(name, world.between(2.0, 60.0))


async def stop_the_broker(world: World) -> None:
    """Restart the broker: every connection goes."""
    world.broker.is_up = False
    for name in NAMES:
        world.parts.cut(name)
    await asyncio.sleep(world.between(0.5, 15.0))
    world.broker.is_up = True


async def stop_the_database(world: World) -> None:
    """Restart the database."""
    world.log.is_up = False
    await asyncio.sleep(world.between(0.5, 15.0))
    world.log.is_up = True


async def silence_a_machine(world: World) -> None:
    """Let nothing through to a machine or back; it goes on by itself."""
    machine = world.pick(world.machines)
    machine.cut = True
    await asyncio.sleep(world.between(2.0, 90.0))
    machine.cut = False


async def crash_an_agent(world: World) -> None:
    """Kill an agent; its workers live, and the next one takes them up."""
    machine = world.pick(world.machines)
    machine.crash_agent()
    await asyncio.sleep(world.between(0.5, 30.0))
    if machine.process is None:
        machine.start_agent()


async def pause_an_agent(world: World) -> None:
    """Freeze an agent: what it was told meanwhile it does when it wakes."""
    machine = world.pick(world.machines)
    process = machine.process
    if process is None:
        return
    world.sky.loop.freeze(process)
    await asyncio.sleep(world.between(2.0, 90.0))
    world.sky.loop.thaw(process)


async def reboot_a_machine(world: World) -> None:
    """Restart a machine: all of its processes are gone, and its boot id is new."""
    machine = world.pick(world.machines)
    machine.reboot()
    await asyncio.sleep(world.between(5.0, 60.0))
    if machine.process is None:
        machine.start_agent()


async def kill_a_worker(world: World) -> None:
    """Let a worker die."""
    living = [(machine, body) for machine in world.machines for body in machine.living]
    if living:
        machine, body = world.pick(living)
        machine.end(body, 1)


async def turn_a_clock(world: World) -> None:
    """Move a machine's time of day by up to an hour."""
    name = world.pick([*NAMES, *(machine.name for machine in world.machines), "database"])
    world.sky.skew_s[name] = world.between(-3600.0, 3600.0)


async def ask_by_hand(world: World) -> None:
    """Have somebody stop an instance, or start one."""
    await world.people.ask()


FAULTS: dict[Callable[[World], Awaitable[None]], float] = {
    crash_a_service: 3.0,
    cut_a_connection: 2.0,
    pause_a_service: 2.0,
    stop_the_broker: 0.7,
    stop_the_database: 0.7,
    silence_a_machine: 2.0,
    crash_an_agent: 2.0,
    pause_an_agent: 1.0,
    reboot_a_machine: 0.7,
    kill_a_worker: 2.0,
    turn_a_clock: 0.7,
    ask_by_hand: 3.0,
}


def weather_of(world: World) -> Weather:
    """Return a storm in which each kind of trouble is absent, as usual, or frequent."""
    chance = world.sky.chances.faults
    factors = {each.name: chance.choice((0.0, 0.0, 1.0, 4.0)) for each in fields(STORM)}
    return Weather(**{name: getattr(STORM, name) * factor for name, factor in factors.items()})


async def misfortune(world: World) -> None:
    """Let a random part of all faults happen, one after another and over one another, for ever."""
    chance = world.sky.chances.faults
    world.sky.weather = weather_of(world)
    chosen = [fault for fault in FAULTS if chance.random() < 0.7] or [crash_a_service]
    weights = [FAULTS[fault] for fault in chosen]
    while True:
        await asyncio.sleep(chance.uniform(*GAP_S))
        fault = chance.choices(chosen, weights)[0]
        world.sky.happened[fault.__name__] += 1
        world.begin(fault(world))


def heal(world: World) -> None:
    """Make all well: nothing is lost, slow, cut, frozen or dead any more."""
    world.sky.weather = CALM
    world.broker.is_up = world.log.is_up = True
    for machine in world.machines:
        machine.cut = False
        if machine.process is None:
            machine.start_agent()
        world.sky.loop.thaw(machine.process)
    for name, (process, _) in list(world.parts.running.items()):
        if process.dead:
            world.parts.start(name)
        world.sky.loop.thaw(process)
