"""What only a real host can show: QEMU, libvirtd and their deaths."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from boot_sector import BANNER
from eventually import eventually
from hypervisor_hosts import LibvirtHost, stopped
from private_libvirt_fixture import LibvirtProcess

from stratuslab.core.errors import ConfigurationError
from stratuslab.vm_controller.drivers.base import (
    DomainDisk,
    DomainMark,
    DomainRejected,
    DomainState,
    GuestInterface,
    Hypervisor,
    HypervisorUnavailable,
    StopReason,
)
from stratuslab.vm_controller.drivers.libvirt import LibvirtHypervisor

pytestmark = pytest.mark.qemu

Mark = Callable[..., DomainMark]


async def test_a_new_boot_id_tells_of_a_host_reboot(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
    private_libvirt.clear()
    private_libvirt.start()
    async with libvirt_host.driver(boot_id="boot-2") as driver:
        found = await driver.find(id)
        assert found is not None
        assert (found.state, found.stop_reason) == (DomainState.STOPPED, StopReason.HOST_REBOOT)
        started = await driver.start(libvirt_host.spec(id, mark(boot_id="boot-2")))
        assert started.state is DomainState.RUNNING


async def test_an_instance_that_stopped_its_guests_has_a_new_boot_id(
    private_libvirt: LibvirtProcess,
) -> None:
    before = private_libvirt.boot_id
    private_libvirt.stop()
    private_libvirt.start()
    assert private_libvirt.boot_id == before
    private_libvirt.clear()
    private_libvirt.start()
    assert private_libvirt.boot_id != before


async def test_a_guest_ended_by_a_signal_counts_as_ended_by_its_host(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        os.kill(await libvirt_host.pid(driver, id), signal.SIGTERM)
        assert (await stopped(driver, id)).stop_reason is StopReason.HOST_REBOOT


async def test_a_guest_that_reports_a_panic_has_crashed(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.panic(driver, id)
        assert (await stopped(driver, id)).stop_reason is StopReason.CRASH


async def test_a_suspended_guest_does_not_boot_again(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.booted(driver, id)
        await driver.suspend(id, mark())
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.halt(driver, id)
        await stopped(driver, id)
        console = await driver.console(id, 100_000)
        assert console.count(BANNER) == 1
        assert console.endswith(b"o")


async def test_libvirtd_dies_and_comes_back_and_no_guest_notices(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        guest = await libvirt_host.pid(driver, id)
        events = driver.events()
        os.kill(private_libvirt.pid, signal.SIGSTOP)
        os.kill(private_libvirt.libvirtd.pid() or 0, signal.SIGKILL)
        with pytest.raises(HypervisorUnavailable):
            await driver.find(id)
        with pytest.raises(HypervisorUnavailable):
            await driver.list_domains()
        os.kill(private_libvirt.pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            while (await anext(events)).id is not None:
                pass
        found = await driver.find(id)
        assert found is not None
        assert (found.state, found.mark) == (DomainState.RUNNING, mark())
        assert await libvirt_host.pid(driver, id) == guest
        await libvirt_host.halt(driver, id)
        assert (await stopped(driver, id)).stop_reason is StopReason.GUEST


@pytest.mark.parametrize(("how", "reason"), [("halt", "guest"), ("crash", "crash")])
async def test_an_end_while_libvirtd_was_away_is_still_told_apart(
    libvirt_host: LibvirtHost,
    private_libvirt: LibvirtProcess,
    id: str,
    mark: Mark,
    how: str,
    reason: str,
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.booted(driver, id)
        os.kill(private_libvirt.pid, signal.SIGSTOP)
        daemon = private_libvirt.libvirtd.pid() or 0
        if how == "halt":
            terminal = await libvirt_host.terminal(driver, id)
            os.kill(daemon, signal.SIGKILL)
            libvirt_host.type(terminal, b"o")
            await asyncio.sleep(1.5)  # QEMU looks once a second whether its terminal is open
        else:
            guest = await libvirt_host.pid(driver, id)
            os.kill(daemon, signal.SIGKILL)
            os.kill(guest, signal.SIGKILL)
        os.kill(private_libvirt.pid, signal.SIGCONT)
        await eventually(lambda: _answers(driver), seconds=20)
        assert (await stopped(driver, id)).stop_reason == reason


async def test_a_stuck_libvirtd_makes_calls_end_within_their_timeout(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess
) -> None:
    impatient = LibvirtHypervisor(private_libvirt.uri, domain_type="qemu", call_timeout_seconds=0.3)
    async with impatient as driver:
        daemon = private_libvirt.libvirtd.pid() or 0
        os.kill(daemon, signal.SIGSTOP)
        try:
            async with asyncio.timeout(2):
                with pytest.raises(HypervisorUnavailable, match="did not answer"):
                    await driver.list_domains()
        finally:
            os.kill(daemon, signal.SIGCONT)
        await eventually(lambda: _answers(driver), seconds=20)


async def test_guests_and_their_console_survive_the_end_of_the_instance(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.booted(driver, id)
        guest = await libvirt_host.pid(driver, id)
    private_libvirt.stop()
    assert private_libvirt.libvirtd.pid() is None
    private_libvirt.start()
    async with libvirt_host.driver() as driver:
        assert await libvirt_host.pid(driver, id) == guest
        await libvirt_host.halt(driver, id)
        await stopped(driver, id)
        assert (await driver.console(id, 1000)).endswith(b"o")


async def test_a_killed_instance_is_found_again(private_libvirt: LibvirtProcess) -> None:
    daemons = (private_libvirt.libvirtd.pid(), private_libvirt.virtlogd.pid())
    private_libvirt.kill()
    private_libvirt.start()
    assert (private_libvirt.libvirtd.pid(), private_libvirt.virtlogd.pid()) == daemons
    assert (private_libvirt.folder.path / "PRIVATE").exists()


async def test_an_instance_can_be_told_to_take_its_guests_along(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess, id: str, mark: Mark
) -> None:
    private_libvirt.stop()
    private_libvirt.start("--stop-guests-at-exit", "--grace-seconds", "20")
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.booted(driver, id)
    private_libvirt.stop()
    assert private_libvirt.folder.guest_processes() == []
    assert private_libvirt.virtlogd.pid() is None
    private_libvirt.start()
    async with libvirt_host.driver() as driver:
        assert (await stopped(driver, id)).mark == mark()


async def test_drivers_leave_neither_threads_nor_descriptors(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def use() -> None:
        async with libvirt_host.driver() as driver:
            await driver.start(libvirt_host.spec(id, mark()))
            await driver.list_domains()

    await use()
    before = open_descriptors()
    for _ in range(5):
        await use()
    await eventually(lambda: open_descriptors() <= before)
    await eventually(lambda: not [t for t in threading.enumerate() if "libvirt-call" in t.name])


async def test_a_guest_outlives_the_log_daemon(
    libvirt_host: LibvirtHost, private_libvirt: LibvirtProcess, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await libvirt_host.booted(driver, id)
        killed = private_libvirt.virtlogd.pid() or 0
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: private_libvirt.virtlogd.pid() not in (None, killed))
        other = str(uuid4())
        await eventually(lambda: _starts(driver, libvirt_host, other, mark()), seconds=20)
        await libvirt_host.booted(driver, other)
        await libvirt_host.halt(driver, id)
        assert (await stopped(driver, id)).stop_reason is StopReason.GUEST


async def test_a_renamed_machine_starts_under_its_new_name(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await driver.stop(id, mark())
        renamed = await driver.start(libvirt_host.spec(id, mark(), name="renamed"))
        assert (renamed.id, renamed.name) == (id, "renamed")
        namesake = await driver.start(libvirt_host.spec(str(uuid4()), mark(), name="renamed"))
        assert namesake.name.startswith("renamed-")
        assert namesake.state is DomainState.RUNNING


async def test_a_domain_is_defined_anew_when_it_changed(
    libvirt_host: LibvirtHost, id: str, mark: Mark
) -> None:
    async with libvirt_host.driver() as driver:
        await driver.start(libvirt_host.spec(id, mark()))
        await driver.stop(id, mark())
        await driver.start(libvirt_host.spec(id, mark(), memory_kib=49152))
        memory = await driver.connection.call(
            "memory", lambda c: c.lookupByUUIDString(id).maxMemory()
        )
        assert memory == 49152


@pytest.mark.parametrize("flaw", ["name", "disk", "network", "memory"])
async def test_an_impossible_domain_is_refused(
    libvirt_host: LibvirtHost, id: str, mark: Mark, flaw: str
) -> None:
    spec = libvirt_host.spec(id, mark())
    flaws: dict[str, dict[str, object]] = {
        "name": {"name": "a/b\nc"},
        "disk": {"disks": (DomainDisk(path=Path("/nonexistent/disk"), format="raw"),)},
        "network": {"interface": GuestInterface(mac=spec.interface.mac, network="none")},
        "memory": {"memory_kib": 0},
    }
    async with libvirt_host.driver() as driver:
        with pytest.raises(DomainRejected):
            await driver.start(libvirt_host.spec(id, mark(), **flaws[flaw]))
        found = await driver.find(id)
        assert found is None or found.state is DomainState.STOPPED


async def test_an_absent_libvirt_is_unavailable(tmp_path: Path) -> None:
    driver = LibvirtHypervisor(
        f"qemu:///system?socket={tmp_path}/none", open_timeout_seconds=0.2, domain_type="qemu"
    )
    with pytest.raises(HypervisorUnavailable, match="did not answer"):
        async with driver:
            pass


def test_an_unknown_domain_type_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="xen"):
        LibvirtHypervisor("qemu:///system", domain_type="xen")


async def _answers(driver: Hypervisor) -> bool:
    try:
        await driver.list_domains()
    except HypervisorUnavailable:
        return False
    return True


async def _starts(driver: Hypervisor, host: LibvirtHost, id: str, mark: DomainMark) -> bool:
    try:
        return (await driver.start(host.spec(id, mark))).state is DomainState.RUNNING
    except HypervisorUnavailable:
        return False
