"""Jobs: stopping, removing, and whose they are."""

from __future__ import annotations

from typing import Any

import pytest

from stratuslab.core.contracts import JOB, MACHINE
from stratuslab.core.contracts.job import JobState
from stratuslab.core.contracts.machine_states import MachineState, Power
from stratuslab.core.jobs import end


async def test_stopping_a_creation_removes_the_machine(api: Any) -> None:
    machine = await api.admin.machine()
    answer = await api.admin.post(f"{machine['job']['href']}/stop")
    assert answer.status == 202
    assert answer.json["state"] == "STOPPED"
    assert answer.headers["CIMI-Job-URI"] == machine["job"]["href"]
    assert (await api.stored(machine)).shown_state is MachineState.DELETING


@pytest.mark.parametrize(
    ("settled", "action"), [("STARTED", "stop"), ("STARTED", "restart"), ("PAUSED", "suspend")]
)
async def test_stopping_an_action_wants_back_the_settled_state(
    api: Any, settled: str, action: str
) -> None:
    machine = await api.admin.machine()

    def change(document: Any) -> None:
        document.spec.power = Power(settled)

    await api.store.update(MACHINE, machine["id"].rpartition("/")[2], change)
    await api.settle(machine)
    before = await api.stored(machine)
    job = (await api.admin.post(f"{machine['id']}/{action}")).json
    stopped = await api.admin.post(f"{job['id']}/stop")
    assert stopped.json["state"] == "STOPPED"
    after = await api.stored(machine)
    assert after.generation == before.generation + 2
    assert (after.spec.power, after.spec.restarts) == (Power(settled), before.status.restarts)
    assert after.shown_state.value == settled


async def test_what_cannot_be_taken_back_cannot_be_stopped(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    job = (await api.admin.delete(machine["id"])).json
    before = await api.everything()
    assert (await api.admin.post(f"{job['id']}/stop")).status == 409
    finished = await api.admin.post("machineImages", {"imageLocation": "simulated:x"})
    assert (await api.admin.post(f"{finished.headers['CIMI-Job-URI']}/stop")).status == 409
    assert {key: before[key] for key in before} == {
        key: rev for key, rev in (await api.everything()).items() if key in before
    }


async def test_only_an_ended_job_can_be_removed(api: Any) -> None:
    machine = await api.admin.machine()
    href = machine["job"]["href"]
    operations = (await api.admin.get(href)).json["operations"]
    assert [each["href"] for each in operations] == [f"{href}/stop"]
    assert (await api.admin.delete(href)).status == 409
    id = href.rpartition("/")[2]
    await api.store.update(JOB, id, lambda job: end(job, JobState.SUCCESS, "done"))
    assert (await api.admin.delete(href)).status == 200
    assert (await api.admin.get(href)).status == 404


async def test_jobs_are_their_owners_business(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    job = (await alice.machine())["job"]["href"]
    assert (await bob.get(job)).status == 404
    assert (await bob.post(f"{job}/stop")).status == 404
    assert (await bob.get("jobs")).json["count"] == 0
    assert (await alice.get("jobs")).json["count"] == 1


async def test_a_job_for_something_shared_is_not_shared(api: Any) -> None:
    alice = await api.user("alice")
    answer = await api.admin.post("machineImages", {"imageLocation": "simulated:x"})
    assert (await alice.get(answer.json["id"])).status == 200
    assert (await alice.get(answer.headers["CIMI-Job-URI"])).status == 404


async def test_nobody_adds_or_edits_jobs(api: Any) -> None:
    job = (await api.admin.machine())["job"]["href"]
    added = await api.admin.post("jobs", {"name": "x"})
    assert added.status == 405
    assert "POST" not in added.headers["Allow"]
    assert (await api.admin.put(job, {"name": "x"})).status == 405
