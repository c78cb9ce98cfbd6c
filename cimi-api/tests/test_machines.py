"""Creating, changing and deleting machines."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from stratuslab.core.contracts import JOB, MACHINE, SECRET
from stratuslab.core.contracts.machine import DiskSpec, GuestAddress
from stratuslab.core.contracts.machine_states import Power, SettledState
from stratuslab.core.contracts.messages import MACHINE_CHANGED, MACHINE_UNSCHEDULED
from stratuslab.core.documents import Condition
from stratuslab.core.errors import Ambiguous
from stratuslab.core.security.vault import Vault

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl somebody"
SIZE = {"cpu": 1, "memory": 131072}
IMAGE = {"imageLocation": "simulated:tiny"}


async def test_a_new_machine_is_answered_at_once_with_its_job(api: Any) -> None:
    answer = await api.admin.post(
        "machines", {"name": "m", "machineTemplate": {"machineConfig": SIZE, "machineImage": IMAGE}}
    )
    machine = answer.json
    assert answer.status == 201
    assert answer.headers["Location"] == machine["id"]
    assert machine["resourceURI"] == "http://schemas.dmtf.org/cimi/1/Machine"
    assert machine["state"] == "CREATING"
    assert (machine["cpu"], machine["memory"], machine["vmid"]) == (1, 131072, 1)
    job = (await api.admin.get(answer.headers["CIMI-Job-URI"])).json
    assert job["state"] == "RUNNING"
    assert job["action"] == "add"
    assert job["targetResource"]["href"].endswith("/cimi/machines")
    assert {"href": machine["id"]} in job["affectedResources"]


async def test_the_default_initial_state_is_stopped(api: Any) -> None:
    assert (await api.stored(await api.admin.machine())).spec.power is Power.STOPPED
    started = await api.admin.machine(machineTemplate={"initialState": "STARTED"})
    assert (await api.stored(started)).spec.power is Power.STARTED


async def test_a_machine_without_a_name_is_named_after_its_number(api: Any) -> None:
    first, second = await api.admin.machine(), await api.admin.machine()
    assert [first["name"], second["name"]] == ["vm-1", "vm-2"]


async def test_the_schedulers_get_a_hint_after_the_commit(api: Any) -> None:
    async with api.bus.hints(MACHINE_UNSCHEDULED) as hints:
        machine = await api.admin.machine()
        hint = await asyncio.wait_for(anext(hints), 2)
        assert machine["id"].endswith(hint.tokens[-1])


async def test_the_event_is_kept_with_the_write(api: Any) -> None:
    machine = await api.admin.machine()
    events = [each.event for each in await api.store.outbox()]
    states = [each.data["state"] for each in events if machine["id"].endswith(each.data["id"])]
    assert states == ["CREATING"]


async def test_a_stored_template_can_be_overridden_and_erased(api: Any) -> None:
    small = {"href": await _configuration(api, "t1.micro")}
    image = await api.admin.made("machineImages", {"imageLocation": "simulated:tiny"})
    template = await api.admin.made(
        "machineTemplates",
        {
            "initialState": "STARTED",
            "machineConfig": small,
            "machineImage": {"href": image["id"]},
            "credential": {"key": KEY, "userName": "root"},
            "userData": base64.b64encode(b"#cloud-config\n").decode(),
            "restartPolicy": "always",
        },
    )
    plain = await _spec(api, {"href": template["id"]})
    assert plain.power is Power.STARTED
    assert (plain.cpu, plain.memory_kib, plain.restart_policy) == (1, 512 * 1024, "always")
    assert plain.image.location == "simulated:tiny"
    assert plain.disks == [DiskSpec(capacity_bytes=512 * 1024**2, format="swap")]
    assert plain.login is not None
    assert plain.login.public_key == KEY
    assert plain.has_user_data

    other = await _spec(
        api,
        {
            "href": template["id"],
            "initialState": "STOPPED",
            "machineConfig": {**small, "cpu": 2, "disks": None},
            "credential": None,
            "userData": None,
            "restartPolicy": None,
        },
    )
    assert (other.cpu, other.memory_kib, other.disks) == (2, 512 * 1024, [])
    assert other.power is Power.STOPPED
    assert other.login is None
    assert not other.has_user_data
    assert other.restart_policy == "on-host-reboot"


async def test_a_reference_may_be_relative_or_name_another_host(api: Any) -> None:
    image = await api.admin.made("machineImages", {"imageLocation": "simulated:tiny"})
    id = image["id"].rpartition("/")[2]
    for href in (
        f"machineImages/{id}",
        f"/cimi/machineImages/{id}",
        f"https://other.example.org/cimi/machineImages/{id}",
    ):
        spec = await _spec(api, {"machineConfig": SIZE, "machineImage": {"href": href}})
        assert spec.image.id == id


async def test_user_data_is_sealed_and_never_shown(api: Any) -> None:
    data = base64.b64encode(b"password: secret").decode()
    machine = await api.admin.machine(machineTemplate={"userData": data})
    document = await api.stored(machine)
    secret = (await api.store.get(SECRET, document.id)).document
    opened = Vault(bytes(32)).open(secret.sealed, associated=f"secret/{document.id}")
    assert opened == b"password: secret"
    assert document.spec.has_user_data
    shown = (await api.admin.get(machine["id"])).text
    assert data not in shown


async def test_a_stored_template_does_not_show_its_user_data(api: Any) -> None:
    template = await api.admin.made(
        "machineTemplates",
        {"machineConfig": SIZE, "machineImage": IMAGE, "userData": "aGVsbG8="},
    )
    assert template["hasUserData"] is True
    assert "aGVsbG8=" not in (await api.admin.get(template["id"])).text
    kept = await api.admin.put(template["id"], template | {"name": "renamed"})
    assert kept.json["hasUserData"] is True
    erased = await api.admin.put(f"{template['id']}?$select=userData", {"userData": None})
    assert "hasUserData" not in erased.json
    assert await api.store.find(SECRET, template["id"].rpartition("/")[2]) is None


async def test_an_image_says_how_much_memory_it_needs(api: Any) -> None:
    image = await api.admin.made(
        "machineImages", {"imageLocation": "simulated:big", "minimumMemory": 262144}
    )
    body = {"machineTemplate": {"machineConfig": SIZE, "machineImage": {"href": image["id"]}}}
    answer = await api.admin.post("machines", body)
    assert answer.status == 400
    assert "262144 KiB" in answer.json["statusMessage"]


async def test_what_one_may_not_see_one_may_not_use(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    image = await alice.made("machineImages", {"imageLocation": "simulated:hers"})
    body = {"machineTemplate": {"machineConfig": SIZE, "machineImage": {"href": image["id"]}}}
    assert (await alice.post("machines", body)).status == 201
    refused = await bob.post("machines", body)
    assert refused.status == 400
    assert "machineTemplate.machineImage.href" in refused.json["statusMessage"]


async def test_the_parts_of_a_machine_are_collections(api: Any) -> None:
    machine = await api.admin.machine(
        machineTemplate={"machineConfig": {**SIZE, "disks": [{"capacity": 1000, "format": "ext4"}]}}
    )
    await api.settle(machine, addresses=[GuestAddress(mac="52:54:00:00:00:01", ip="10.0.0.7")])
    machine = (await api.admin.get(machine["id"])).json
    disks = (await api.admin.get(machine["disks"]["href"])).json
    assert disks["count"] == 2
    assert [each["name"] for each in disks["disks"]] == ["boot", "disk 1"]
    assert disks["disks"][1]["capacity"] == 1049
    assert disks["disks"][1]["capacityBytes"] == 1024**2
    again = (await api.admin.get(disks["disks"][1]["id"])).json
    assert again == disks["disks"][1]

    interfaces = (await api.admin.get(machine["networkInterfaces"]["href"])).json
    interface = interfaces["machineNetworkInterfaces"][0]
    assert interface["macAddress"] == "52:54:00:00:00:01"
    addresses = (await api.admin.get(interface["addresses"]["href"])).json
    assert addresses["machineNetworkInterfaceAddresses"][0]["address"]["ip"] == "10.0.0.7"

    for name in ("volumes", "snapshots"):
        empty = (await api.admin.get(machine[name]["href"])).json
        assert empty["count"] == 0
        assert not [value for value in empty.values() if value == []]
    for missing in ("disks/9", "disks/x", "networkInterfaces/0/nothing", "volumes/0", "nothing"):
        assert (await api.admin.get(f"{machine['id']}/{missing}")).status == 404


async def test_state_conditions_and_addresses_are_shown(api: Any) -> None:
    machine = await api.admin.machine(machineTemplate={"initialState": "STARTED"})
    address = GuestAddress(mac="52:54:00:00:00:01", ip="10.0.0.7", ssh_host="h", ssh_port=2222)
    await api.settle(machine, addresses=[address])

    def change(document: Any) -> None:
        document.status.stop_reason = "crash"
        document.status.conditions = [Condition("Failed", "NoRoom", "There is no room.")]

    await api.store.update(MACHINE, machine["id"].rpartition("/")[2], change)
    shown = (await api.admin.get(machine["id"])).json
    assert shown["state"] == "STARTED"
    assert shown["stopReason"] == "crash"
    assert shown["conditions"] == [
        {"type": "Failed", "reason": "NoRoom", "message": "There is no room."}
    ]
    assert shown["addresses"] == [
        {"macAddress": "52:54:00:00:00:01", "ip": "10.0.0.7", "sshHost": "h", "sshPort": 2222}
    ]


async def test_the_host_is_for_administrators(api: Any) -> None:
    alice = await api.user("alice")
    machine = await alice.machine()
    await api.settle(machine, host="host-7")
    assert (await api.admin.get(machine["id"])).json["host"] == "host-7"
    assert "host" not in (await alice.get(machine["id"])).json


async def test_a_full_put_erases_and_a_selected_one_does_not(api: Any) -> None:
    machine = await api.admin.machine(
        name="one",
        description="d",
        properties={"k": "v"},
        machineTemplate={"restartPolicy": "never"},
    )
    await api.settle(machine)
    partial = await api.admin.put(f"{machine['id']}?$select=name", {"name": "two"})
    assert partial.status == 200
    assert (partial.json["name"], partial.json["description"]) == ("two", "d")
    assert partial.json["properties"] == {"k": "v"}
    assert partial.json["restartPolicy"] == "never"
    full = await api.admin.put(machine["id"], {"name": "three"})
    assert full.json["name"] == "three"
    assert "description" not in full.json
    assert "properties" not in full.json
    assert full.json["restartPolicy"] == "on-host-reboot"


async def test_what_was_read_can_be_put_back_unchanged(api: Any) -> None:
    machine = await api.admin.machine(name="one", properties={"k": "v"})
    await api.settle(machine)
    shown = (await api.admin.get(machine["id"])).json
    document = await api.stored(machine)
    answer = await api.admin.put(machine["id"], shown | {"cpu": 200, "state": "STARTED"})
    assert answer.status == 200
    after = await api.stored(machine)
    assert after.spec == document.spec
    assert after.generation == document.generation
    assert (after.name, after.properties, after.acl) == ("one", {"k": "v"}, document.acl)


async def test_a_new_restart_policy_reaches_the_host(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine, host="host-1")
    before = await api.stored(machine)
    async with api.bus.hints(MACHINE_CHANGED, host="host-1") as hints:
        answer = await api.admin.put(
            f"{machine['id']}?$select=restartPolicy", {"restartPolicy": "always"}
        )
        assert answer.status == 200
        await asyncio.wait_for(anext(hints), 2)
    after = await api.stored(machine)
    assert after.generation == before.generation + 1
    assert after.spec.restart_policy == "always"
    assert answer.json["state"] == "STOPPED"


async def test_an_edit_leaves_the_job_in_flight_alone(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    job = (await api.admin.post(f"{machine['id']}/start")).json
    edited = await api.admin.put(f"{machine['id']}?$select=restartPolicy", {})
    assert edited.status == 200
    changed = {"restartPolicy": "always"}
    edited = await api.admin.put(f"{machine['id']}?$select=restartPolicy", changed)
    assert (await api.admin.get(edited.headers["CIMI-Job-URI"])).json["state"] == "SUCCESS"
    assert (await api.admin.get(job["id"])).json["state"] == "RUNNING"
    assert edited.json["job"]["href"] == job["id"]


async def test_deleting_leaves_a_tombstone_and_a_job(api: Any) -> None:
    machine = await api.admin.machine()
    await api.settle(machine)
    answer = await api.admin.delete(machine["id"])
    assert answer.status == 202
    assert answer.json["action"] == "delete"
    assert answer.json["state"] == "RUNNING"
    document = await api.stored(machine)
    assert document.deletion_requested is not None
    assert (await api.admin.get(machine["id"])).json["state"] == "DELETING"


async def test_deleting_twice_is_acknowledged_with_the_same_job(api: Any) -> None:
    machine = await api.admin.machine()
    first = await api.admin.delete(machine["id"])
    second = await api.admin.delete(machine["id"])
    assert (first.status, second.status) == (202, 202)
    assert second.headers["CIMI-Job-URI"] == first.headers["CIMI-Job-URI"]


async def test_a_machine_that_nobody_placed_can_be_deleted(api: Any) -> None:
    machine = await api.admin.machine()
    async with api.bus.hints(MACHINE_UNSCHEDULED) as hints:
        assert (await api.admin.delete(machine["id"])).status == 202
        await asyncio.wait_for(anext(hints), 2)


async def test_a_machine_that_is_gone_is_404(api: Any) -> None:
    machine = await api.admin.machine()
    await api.store.remove(await api.store.get(MACHINE, machine["id"].rpartition("/")[2]))
    assert (await api.admin.get(machine["id"])).status == 404
    assert (await api.admin.post(f"{machine['id']}/start")).status == 404


async def test_a_write_of_unknown_fate_is_read_back(api: Any, monkeypatch: Any) -> None:
    """The store's owner dies after the commit, before it could say so."""
    committed = api.store.atomic

    async def dying(writes: Any) -> Any:
        await committed(writes)
        raise Ambiguous("The store went away.")

    monkeypatch.setattr(api.store, "atomic", dying)
    assert (await api.admin.machine())["state"] == "CREATING"


async def test_a_write_that_never_happened_says_so(api: Any, monkeypatch: Any) -> None:
    async def dying(writes: Any) -> Any:
        raise Ambiguous("The store went away.")

    monkeypatch.setattr(api.store, "atomic", dying)
    answer = await api.admin.post(
        "machines", {"machineTemplate": {"machineConfig": SIZE, "machineImage": IMAGE}}
    )
    assert answer.status == 503
    assert answer.json["code"] == "ambiguous"
    assert answer.headers["Retry-After"]


async def test_a_failing_machine_tells_why_and_can_be_started_again(api: Any) -> None:
    machine = await api.admin.machine(machineTemplate={"initialState": "STARTED"})
    await api.settle(machine, SettledState.ERROR)
    shown = (await api.admin.get(machine["id"])).json
    assert shown["state"] == "ERROR"
    assert {each["rel"].rpartition("/")[2] for each in shown["operations"]} == {
        "edit", "delete", "start", "stop", "consoleLog",
    }  # fmt: skip


async def test_every_job_of_a_machine_is_readable_by_its_owner(api: Any) -> None:
    alice = await api.user("alice")
    machine = await alice.machine()
    document = await api.stored(machine)
    assert document.spec.job is not None
    assert (await api.store.get(JOB, document.spec.job)).document.acl == document.acl
    assert (await alice.get(machine["job"]["href"])).status == 200


async def _configuration(api: Any, name: str) -> Any:
    found = (await api.admin.get(f"machineConfigurations?$filter=name='{name}'")).json
    return found["machineConfigurations"][0]["id"]


async def _spec(api: Any, template: Any) -> Any:
    machine = await api.admin.made("machines", {"machineTemplate": template})
    return (await api.stored(machine)).spec
