"""The actions of a machine, in every state, and what they write."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stratuslab.core.contracts import JOB, MACHINE
from stratuslab.core.contracts.job import JobState
from stratuslab.core.contracts.machine_states import (
    OFFERED,
    WANTED_BY,
    MachineAction,
    MachineState,
    Power,
    SettledState,
    offers,
)
from stratuslab.core.contracts.messages import MACHINE_CHANGED

ACTION = "http://schemas.dmtf.org/cimi/1/action/"

INTO: dict[MachineState, tuple[SettledState, Power | None]] = {
    MachineState.CREATING: (SettledState.NEW, Power.STOPPED),
    MachineState.STARTING: (SettledState.STOPPED, Power.STARTED),
    MachineState.STARTED: (SettledState.STARTED, None),
    MachineState.STOPPING: (SettledState.STARTED, Power.STOPPED),
    MachineState.STOPPED: (SettledState.STOPPED, None),
    MachineState.PAUSING: (SettledState.STARTED, Power.PAUSED),
    MachineState.PAUSED: (SettledState.PAUSED, None),
    MachineState.SUSPENDING: (SettledState.STARTED, Power.SUSPENDED),
    MachineState.SUSPENDED: (SettledState.SUSPENDED, None),
    MachineState.DELETING: (SettledState.STARTED, None),
    MachineState.ERROR: (SettledState.ERROR, None),
}
"""Settled state and, for work in flight, the power that is wanted."""


async def _in_state(api: Any, state: MachineState) -> Any:
    machine = await api.admin.machine()
    settled, wanted = INTO[state]

    def change(document: Any) -> None:
        document.assignment.host = "host-1"
        document.status.state = settled
        if wanted is not None:
            document.spec.power = wanted
        else:
            document.status.observed_generation = document.generation
        if state is MachineState.DELETING:
            document.deletion_requested = document.created

    await api.store.update(MACHINE, machine["id"].rpartition("/")[2], change)
    shown = (await api.admin.get(machine["id"])).json
    assert shown["state"] == state
    return shown


@pytest.mark.parametrize("state", MachineState)
async def test_exactly_what_is_offered_is_listed_and_works(api: Any, state: MachineState) -> None:
    machine = await _in_state(api, state)
    listed = {
        each["rel"].removeprefix(ACTION)
        for each in machine["operations"]
        if each["rel"].startswith(ACTION)
    }
    assert listed == {offer.action.value for offer in OFFERED[state]}
    for action in MachineAction:
        for force in (False, True):
            machine = await _in_state(api, state)
            before = await api.everything()
            answer = await api.admin.post(f"{machine['id']}/{action}", {"force": force})
            if offers(state, action, force=force):
                assert answer.status == 202, (action, force, answer.text)
                assert (await api.stored(machine)).spec.power is WANTED_BY[action]
            else:
                assert answer.status == 409
                assert answer.json["code"] == "wrong-state"
                assert await api.everything() == before


async def test_an_action_is_one_new_generation_and_one_job(api: Any) -> None:
    machine = await _in_state(api, MachineState.STOPPED)
    before = await api.stored(machine)
    async with api.bus.hints(MACHINE_CHANGED, host="host-1") as hints:
        answer = await api.admin.post(f"{machine['id']}/start")
        hint = await asyncio.wait_for(anext(hints), 2)
        assert machine["id"].endswith(hint.tokens[-1])
    after = await api.stored(machine)
    assert after.generation == before.generation + 1
    assert after.shown_state is MachineState.STARTING
    job = answer.json
    assert job["resourceURI"].endswith("/Job")
    assert job["id"] == answer.headers["CIMI-Job-URI"]
    assert job["id"].endswith(after.spec.job or "")
    assert job["action"] == ACTION + "start"
    assert job["targetResource"]["href"] == machine["id"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": b""},
        {"data": b"null", "headers": {"Content-Type": "application/json"}},
        {"json": {"action": "http://http://schemas.dmtf.org/cimi/1/action/stop"}},
        {
            "json": {
                "resourceURI": "http://schemas.dmtf.org/cimi/1/Action",
                "properties": {"a": "b"},
            }
        },
    ],
)
async def test_the_uri_alone_decides_which_action_it_is(api: Any, body: Any) -> None:
    machine = await _in_state(api, MachineState.STOPPED)
    answer = await api.admin.ask("POST", f"{machine['id']}/start", **body)
    assert answer.status == 202
    assert answer.json["action"] == ACTION + "start"


async def test_an_unknown_action_is_404(api: Any) -> None:
    machine = await _in_state(api, MachineState.STOPPED)
    for name in ("capture", "snapshot", "explode", "Start"):
        assert (await api.admin.post(f"{machine['id']}/{name}")).status == 404


async def test_force_is_written_and_forgotten_by_the_next_action(api: Any) -> None:
    machine = await _in_state(api, MachineState.STARTED)
    await api.admin.post(f"{machine['id']}/stop", {"force": True})
    assert (await api.stored(machine)).spec.force
    await api.settle(machine)
    await api.admin.post(f"{machine['id']}/start")
    assert not (await api.stored(machine)).spec.force


async def test_a_restart_counts_unless_the_machine_is_down(api: Any) -> None:
    running = await _in_state(api, MachineState.STARTED)
    await api.admin.post(f"{running['id']}/restart")
    document = await api.stored(running)
    assert (document.spec.restarts, document.shown_state) == (1, MachineState.STOPPING)
    down = await _in_state(api, MachineState.STOPPED)
    await api.admin.post(f"{down['id']}/restart")
    document = await api.stored(down)
    assert (document.spec.restarts, document.shown_state) == (0, MachineState.STARTING)


async def test_a_newer_action_ends_the_job_of_the_older(api: Any) -> None:
    machine = await _in_state(api, MachineState.STOPPED)
    first = (await api.admin.post(f"{machine['id']}/start")).json
    second = (await api.admin.post(f"{machine['id']}/stop", {"force": True})).json
    ended = (await api.admin.get(first["id"])).json
    assert ended["state"] == "STOPPED"
    assert "superseded" in ended["statusMessage"]
    assert ended["progress"] == 100
    assert (await api.admin.get(second["id"])).json["state"] == "RUNNING"


async def test_writers_in_between_never_reach_the_user(api: Any) -> None:
    """The agent writes status all the time; actions go through all the same."""
    machine = await _in_state(api, MachineState.STARTED)
    id = machine["id"].rpartition("/")[2]
    done = asyncio.Event()

    async def agent() -> None:
        number = 0
        while not done.is_set():
            number += 1

            def change(document: Any, number: int = number) -> None:
                document.status.boot_id = str(number)

            await api.store.update(MACHINE, id, change)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agent())
        for action in ("pause", "suspend", "start", "stop", "restart"):
            assert (await api.admin.post(f"{machine['id']}/{action}")).status == 202
            await api.settle(machine)
        done.set()


async def test_of_concurrent_actions_all_are_answered(api: Any) -> None:
    machine = await _in_state(api, MachineState.STARTED)
    answers = await asyncio.gather(*(api.admin.post(f"{machine['id']}/stop") for _ in range(8)))
    assert {answer.status for answer in answers} == {202}
    jobs = [
        (await api.store.get(JOB, answer.json["id"].rpartition("/")[2])).document
        for answer in answers
    ]
    assert sum(job.state is JobState.RUNNING for job in jobs) == 1


async def test_if_match_guards_an_action(api: Any) -> None:
    machine = await _in_state(api, MachineState.STOPPED)
    tag = (await api.admin.get(machine["id"])).headers["ETag"]
    await api.admin.put(f"{machine['id']}?$select=name", {"name": "other"})
    stale = await api.admin.post(f"{machine['id']}/start", headers={"If-Match": tag})
    assert stale.status == 412
    tag = (await api.admin.get(machine["id"])).headers["ETag"]
    assert (await api.admin.post(f"{machine['id']}/start", headers={"If-Match": tag})).status == 202


async def test_who_may_only_look_may_not_act(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    machine = await alice.machine(
        acl={
            "owner": f"user/{alice.id}",
            "rules": [{"principal": f"user/{bob.id}", "right": "VIEW"}],
        }
    )
    await api.settle(machine)
    seen = (await bob.get(machine["id"])).json
    assert "operations" not in seen
    assert "acl" not in seen
    before = await api.everything()
    assert (await bob.post(f"{machine['id']}/start")).status == 403
    assert (await bob.delete(machine["id"])).status == 403
    assert (await bob.put(machine["id"], {"name": "mine"})).status == 403
    assert (await bob.get(f"{machine['id']}/consoleLog")).status == 403
    assert await api.everything() == before
