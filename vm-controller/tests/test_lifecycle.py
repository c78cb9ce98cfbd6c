"""The pure decisions: any history, any crash between act and write, ends where the user wants."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratuslab.core.contracts.machine import (
    ImageReference,
    Machine,
    MachineAssignment,
    MachineSpec,
    MachineStatus,
)
from stratuslab.core.contracts.machine_states import (
    OFFERED,
    WANTED_BY,
    MachineAction,
    MachineState,
    Power,
    SettledState,
    offers,
    shown_state,
)
from stratuslab.core.documents.frame import now
from stratuslab.vm_controller.drivers.base import Domain, DomainMark, DomainState, StopReason
from stratuslab.vm_controller.lifecycle import (
    OWED,
    OWED_RESTART,
    Act,
    Found,
    decide,
    found,
    recorded,
)

CLOUD = "cloud-1"


def a_machine(power: Power = Power.STARTED, **status: object) -> Machine:
    return Machine(
        id="m",
        spec=MachineSpec(cpu=1, memory_kib=1024, image=ImageReference("i", "l"), power=power),
        assignment=MachineAssignment(vmid=1, host="h", fence=1),
        status=MachineStatus(**status),  # type: ignore[arg-type]
    )


def a_domain(state: DomainState = DomainState.RUNNING, **mark: object) -> Domain:
    marked = {"cloud_id": CLOUD, "generation": 1, "fence": 1, "boot_id": "b1", **mark}
    return Domain(id="m", name="m", state=state, mark=DomainMark(**marked))  # type: ignore[arg-type]


def act_for(machine: Machine, domain: Domain | None, boot_id: str = "b1") -> Act:
    return decide(machine, domain, cloud_id=CLOUD, boot_id=boot_id).act


def test_a_domain_of_nobody_is_never_touched() -> None:
    stranger = Domain(id="m", name="m", state=DomainState.RUNNING, mark=None)
    machine = a_machine(Power.STOPPED)
    machine.deletion_requested = now()
    assert act_for(machine, stranger) is Act.REFUSE


def test_a_domain_of_another_cloud_is_never_touched() -> None:
    machine = a_machine(Power.STOPPED)
    machine.deletion_requested = now()
    assert act_for(machine, a_domain(cloud_id="another")) is Act.REFUSE


@pytest.mark.parametrize("power", list(Power))
def test_a_document_older_than_its_domain_changes_nothing(power: Power) -> None:
    assert act_for(a_machine(power), a_domain(generation=7)) is Act.REFUSE
    assert act_for(a_machine(power), a_domain(fence=7)) is Act.REFUSE


def test_only_a_tombstone_removes() -> None:
    for state, power in itertools.product(DomainState, Power):
        assert act_for(a_machine(power), a_domain(state)) is not Act.REMOVE


@pytest.mark.parametrize(
    ("policy", "reason", "started"),
    [
        ("never", StopReason.HOST_REBOOT, False),
        ("never", StopReason.CRASH, False),
        ("on-host-reboot", StopReason.HOST_REBOOT, True),
        ("on-host-reboot", StopReason.GUEST, False),
        ("on-host-reboot", StopReason.CRASH, False),
        ("on-host-reboot", StopReason.UNKNOWN, False),
        ("always", StopReason.HOST_REBOOT, True),
        ("always", StopReason.GUEST, True),
        ("always", StopReason.CRASH, True),
        ("always", StopReason.REQUESTED, False),
    ],
)
def test_the_restart_policy_tells_which_end_is_answered_with_a_start(
    policy: str, reason: StopReason, started: bool
) -> None:
    machine = a_machine(state=SettledState.STARTED, observed_generation=1, boot_id="b1")
    machine.spec.restart_policy = policy  # type: ignore[assignment]
    domain = Domain(
        id="m",
        name="m",
        state=DomainState.STOPPED,
        stop_reason=reason,
        mark=a_domain().mark,
    )
    decision = decide(machine, domain, cloud_id=CLOUD, boot_id="b1")
    assert (decision.act is Act.START) is started
    assert decision.reason == reason.value


def test_a_domain_absent_under_a_new_boot_id_was_lost_by_a_host_reboot() -> None:
    machine = a_machine(state=SettledState.STARTED, observed_generation=1, boot_id="b1")
    decision = decide(machine, None, cloud_id=CLOUD, boot_id="b2")
    assert (decision.act, decision.reason) == (Act.START, "host-reboot")


def test_a_wiped_status_is_rebuilt_without_starting_what_the_guest_halted() -> None:
    domain = Domain(
        id="m",
        name="m",
        state=DomainState.STOPPED,
        stop_reason=StopReason.GUEST,
        mark=a_domain().mark,
    )
    decision = decide(a_machine(), domain, cloud_id=CLOUD, boot_id="b1")
    assert (decision.act, decision.settles, decision.reason) == (Act.NOTHING, True, "guest")


def test_every_wanted_state_has_a_way_out_of_every_found_state_or_is_given_up() -> None:
    for what, power in itertools.product(Found, Power):
        if (what, power) not in OWED:
            assert power in {Power.PAUSED, Power.SUSPENDED}, (what, power)
    assert set(OWED_RESTART) == set(Found)


def test_every_offered_action_leads_to_its_in_flight_state() -> None:
    for state, offered in OFFERED.items():
        for offer in offered:
            assert offers(state, offer.action, force=True)
            assert offers(state, offer.action) is not offer.force_only


def test_what_a_user_sees_while_work_is_in_flight() -> None:
    def shown(state: SettledState, power: Power, **flags: bool) -> MachineState:
        known = {"settled": False, "restarting": False, "deleting": False, **flags}
        return shown_state(state, power, **known)

    assert shown(SettledState.NEW, Power.STARTED) is MachineState.CREATING
    assert shown(SettledState.STOPPED, Power.STARTED) is MachineState.STARTING
    assert shown(SettledState.STARTED, Power.STOPPED) is MachineState.STOPPING
    assert shown(SettledState.STARTED, Power.PAUSED) is MachineState.PAUSING
    assert shown(SettledState.STARTED, Power.SUSPENDED) is MachineState.SUSPENDING
    assert shown(SettledState.STARTED, Power.STARTED, restarting=True) is MachineState.STOPPING
    assert shown(SettledState.STOPPED, Power.STARTED, settled=True) is MachineState.STOPPED
    assert shown(SettledState.STARTED, Power.STOPPED, deleting=True) is MachineState.DELETING


@dataclass
class Host:
    """A little reality that obeys acts, for the laws below."""

    domain: Domain | None = None
    boot_id: str = "b1"

    def obey(self, machine: Machine, act: Act, restart: bool, settles: bool) -> None:
        before = self.domain.mark if self.domain is not None else None
        restarts = before.restarts if before else machine.status.restarts
        if restart or (settles and act is not Act.CUT):
            restarts = machine.spec.restarts
        generation = machine.generation
        if act is Act.WAKE and before is not None:
            generation = before.generation
        mark = DomainMark(
            cloud_id=CLOUD,
            generation=generation,
            fence=1,
            restarts=restarts,
            boot_id=self.boot_id,
            stopping=act in {Act.CUT, Act.SHUTDOWN},
        )
        after = {
            Act.START: DomainState.RUNNING,
            Act.WAKE: DomainState.RUNNING,
            Act.PAUSE: DomainState.PAUSED,
            Act.SUSPEND: DomainState.SUSPENDED,
            Act.SHUTDOWN: DomainState.STOPPED,
            Act.CUT: DomainState.STOPPED,
        }.get(act)
        if after is not None:
            self.domain = Domain(
                id="m",
                name="m",
                state=after,
                mark=mark,
                stop_reason=StopReason.REQUESTED if after is DomainState.STOPPED else None,
            )
        elif act is Act.MARK and self.domain is not None:
            self.domain = Domain(
                id="m",
                name="m",
                state=self.domain.state,
                stop_reason=self.domain.stop_reason,
                mark=mark,
            )

    def ends(self, reason: StopReason) -> None:
        if self.domain is not None and self.domain.state in {
            DomainState.RUNNING,
            DomainState.PAUSED,
        }:
            self.domain = Domain(
                id="m",
                name="m",
                state=DomainState.STOPPED,
                stop_reason=reason,
                mark=self.domain.mark,
            )


def settle(machine: Machine, host: Host, crashes: list[bool]) -> int:
    """Reconciles until nothing is left; `crashes` says after which acts the write is lost."""
    lost = iter(crashes)
    for steps in range(40):
        decision = decide(machine, host.domain, cloud_id=CLOUD, boot_id=host.boot_id)
        host.obey(machine, decision.act, decision.restart, decision.settles)
        if next(lost, False):
            continue
        if decision.settles:
            owed = machine.status.observed_generation < machine.generation
            machine.status.state = (
                {
                    Found.ABSENT: SettledState.STOPPED,
                    Found.STOPPED: SettledState.STOPPED,
                    Found.RUNNING: SettledState.STARTED,
                    Found.PAUSED: SettledState.PAUSED,
                    Found.SUSPENDED: SettledState.SUSPENDED,
                }[found(host.domain)]
                if owed
                else recorded(machine, host.domain)
            )
            machine.status.observed_generation = machine.generation
            machine.status.restarts = machine.spec.restarts
            machine.status.boot_id = host.boot_id
        if decision.act is Act.NOTHING and decision.settles:
            return steps
    raise AssertionError("it never settled")


intents = st.tuples(st.sampled_from(MachineAction), st.booleans())
happenings = st.sampled_from(["nothing", "guest", "crash", "reboot", "wipe"])


@settings(max_examples=400, deadline=None)
@given(
    history=st.lists(
        st.tuples(intents, happenings, st.lists(st.booleans(), max_size=6)), max_size=8
    ),
    final=intents,
)
def test_any_history_with_crashes_ends_in_the_state_the_user_asked_for(
    history: list[tuple[tuple[MachineAction, bool], str, list[bool]]],
    final: tuple[MachineAction, bool],
) -> None:
    machine, host = a_machine(), Host()

    def ask(action: MachineAction, force: bool) -> None:
        if not offers(machine.shown_state, action, force=force):
            return
        machine.generation += 1
        machine.spec.power = WANTED_BY[action]
        machine.spec.force = force
        if action is MachineAction.RESTART and machine.status.state is SettledState.STARTED:
            machine.spec.restarts += 1

    for (action, force), happening, crashes in history:
        ask(action, force)
        settle(machine, host, crashes)
        if happening in {"guest", "crash"}:
            host.ends(StopReason(happening))
        elif happening == "reboot":
            host.ends(StopReason.HOST_REBOOT)
            host.boot_id += "'"
        elif happening == "wipe":
            machine.status = MachineStatus()
        settle(machine, host, crashes)
        assert machine.settled
    ask(*final)
    settle(machine, host, [])
    if machine.spec.power is Power.STARTED and history and history[-1][1] in {"guest", "crash"}:
        return
    settled_as_asked = machine.status.state.value == machine.spec.power.value
    ended_by_itself = machine.status.state is SettledState.STOPPED
    assert settled_as_asked or ended_by_itself


def test_a_restart_boots_exactly_once_whatever_write_is_lost() -> None:
    for crashes in itertools.product([False, True], repeat=4):
        machine, host = a_machine(), Host()
        settle(machine, host, [])
        machine.generation += 1
        machine.spec.restarts += 1
        boots = 0
        original = host.obey

        def counting(machine: Machine, act: Act, restart: bool, settles: bool) -> None:
            nonlocal boots
            boots += act is Act.START
            original(machine, act, restart, settles)  # noqa: B023

        host.obey = counting  # type: ignore[method-assign]
        settle(machine, host, list(crashes))
        assert boots == 1
        assert machine.status.state is SettledState.STARTED
