"""Configurations, images, templates and credentials."""

from __future__ import annotations

from typing import Any

import pytest

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVlZWVl somebody"
SIZE = {"cpu": 2, "memory": 1048576}
BODIES: dict[str, tuple[Any, Any]] = {
    "machineConfigurations": (
        SIZE | {"disks": [{"capacity": 10_000_000, "format": "ext4"}], "cpuArch": "aarch64"},
        {"cpu": 3},
    ),
    "machineImages": ({"imageLocation": "simulated:x", "type": "IMAGE"}, {"minimumMemory": 65536}),
    "machineTemplates": (
        {"machineConfig": SIZE, "machineImage": {"imageLocation": "simulated:x"}},
        {"initialState": "STARTED"},
    ),
    "credentials": ({"credentialTemplate": {"userName": "root", "key": KEY}}, {"userName": "me"}),
}


@pytest.mark.parametrize("collection", BODIES)
async def test_the_life_of_an_entry(api: Any, collection: str) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    body, change = BODIES[collection]
    answer = await alice.post(
        collection, {"name": "n", "description": "d", "properties": {"k": "v"}} | body
    )
    assert answer.status == 201, answer.text
    made = answer.json
    assert answer.headers["Location"] == made["id"]
    job = (await alice.get(answer.headers["CIMI-Job-URI"])).json
    assert (job["state"], job["action"], job["progress"]) == ("SUCCESS", "add", 100)
    assert (made["name"], made["description"], made["properties"]) == ("n", "d", {"k": "v"})
    assert made["acl"] == {"owner": f"user/{alice.id}"}
    read = await alice.get(made["id"])
    assert read.json == made
    assert read.headers["ETag"] == answer.headers["ETag"]

    assert (await bob.get(made["id"])).status == 404
    assert (await bob.put(made["id"], made)).status == 404
    assert (await bob.delete(made["id"])).status == 404

    echoed = await alice.put(made["id"], made)
    assert echoed.status == 200, echoed.text
    assert echoed.json | {"updated": made["updated"]} == made
    select = ",".join(change)
    changed = await alice.put(f"{made['id']}?$select={select}", change)
    assert changed.status == 200
    assert changed.json | change == changed.json
    assert changed.json["name"] == "n"

    removed = await alice.delete(made["id"])
    assert removed.status == 200
    assert removed.json["action"] == "delete"
    assert removed.json["state"] == "SUCCESS"
    assert (await alice.get(made["id"])).status == 404
    assert (await alice.delete(made["id"])).status == 404


@pytest.mark.parametrize("collection", BODIES)
async def test_a_listed_attribute_must_be_selected_and_a_selected_one_is_reset(
    api: Any, collection: str
) -> None:
    body, _ = BODIES[collection]
    made = await api.admin.made(collection, {"name": "n", "description": "d"} | body)
    refused = await api.admin.put(f"{made['id']}?$select=name", {"name": "x", "description": "y"})
    assert refused.status == 400
    assert "description" in refused.json["statusMessage"]
    reset = await api.admin.put(f"{made['id']}?$select=name,description", {"name": "x"})
    assert reset.json["name"] == "x"
    assert "description" not in reset.json


async def test_what_an_administrator_offers_everybody_sees(api: Any) -> None:
    alice = await api.user("alice")
    for collection in ("machineConfigurations", "machineImages"):
        shown = await api.admin.made(collection, BODIES[collection][0])
        hidden = await api.admin.made(
            collection, BODIES[collection][0] | {"acl": {"owner": "role/ADMIN"}}
        )
        seen = await alice.get(shown["id"])
        assert seen.status == 200
        assert "operations" not in seen.json
        assert (await alice.put(shown["id"], BODIES[collection][0])).status == 403
        assert (await alice.get(hidden["id"])).status == 404
    template = await api.admin.made("machineTemplates", BODIES["machineTemplates"][0])
    assert (await alice.get(template["id"])).status == 404


async def test_an_owner_may_share_but_not_give_away(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    image = await alice.made("machineImages", {"imageLocation": "simulated:x"})
    rules = [{"principal": f"user/{bob.id}", "right": "MODIFY"}]
    acl = {"owner": f"user/{alice.id}", "rules": rules}
    assert (await alice.put(f"{image['id']}?$select=acl", {"acl": acl})).status == 200
    assert (await bob.put(f"{image['id']}?$select=name", {"name": "his"})).status == 200
    taken = await bob.put(f"{image['id']}?$select=acl", {"acl": {"owner": f"user/{bob.id}"}})
    assert taken.status == 200
    assert (await alice.get(image["id"])).json["acl"] == acl
    given = await alice.put(f"{image['id']}?$select=acl", {"acl": {"owner": f"user/{bob.id}"}})
    assert given.status == 403
    assert (await alice.get(image["id"])).json["acl"] == acl


async def test_an_administrator_may_give_something_to_another(api: Any) -> None:
    alice = await api.user("alice")
    machine = await api.admin.machine(acl={"owner": f"user/{alice.id}"})
    assert (await alice.get(machine["id"])).json["acl"] == {"owner": f"user/{alice.id}"}
    assert (await api.stored(machine)).owner == alice.id


async def test_the_instance_types_are_there(api: Any) -> None:
    alice = await api.user("alice")
    listed = (await alice.get("machineConfigurations")).json["machineConfigurations"]
    table = {
        each["name"]: (each["cpu"], each["memory"] // 1024, each["disks"][0]) for each in listed
    }
    assert next(iter(table)) == "t1.micro"
    assert {name: row[:2] for name, row in table.items()} == {
        "t1.micro": (1, 512),
        "m1.small": (1, 1536),
        "m1.medium": (1, 3072),
        "m1.large": (2, 6144),
        "m1.xlarge": (4, 8192),
        "c1.medium": (2, 1536),
        "c1.xlarge": (4, 6144),
    }
    for _, memory_mib, swap in table.values():
        assert swap["format"] == "swap"
        assert swap["capacityBytes"] == memory_mib * 1024**2


async def test_an_image_file_must_lie_in_an_image_folder(api: Any) -> None:
    good = api.image_folder / "tiny.qcow2"
    good.write_bytes(b"image")
    outside = api.image_folder.parent / "outside"
    outside.write_bytes(b"secret")
    (api.image_folder / "link").symlink_to(outside)
    (api.image_folder / "folder").mkdir()
    image = await api.admin.made("machineImages", {"imageLocation": good.as_uri()})
    assert image["imageLocation"] == good.as_uri()
    before = await api.everything()
    for location in (
        outside.as_uri(),
        f"{api.image_folder.as_uri()}/../outside",
        f"{api.image_folder.as_uri()}/%2e%2e/outside",
        f"{api.image_folder.as_uri()}/link",
        f"{api.image_folder.as_uri()}/folder",
        f"{api.image_folder.as_uri()}/missing",
        "file:///etc/passwd",
        "file://host/etc/passwd",
        "file:relative",
        "file:///\0",
        f"{api.image_folder.as_uri()}/{'x' * 300}",
        "http://example.org/x",
        "simulated:",
        "/etc/passwd",
    ):
        answer = await api.admin.post("machineImages", {"imageLocation": location})
        assert answer.status == 400, location
        assert "imageLocation" in answer.json["statusMessage"]
        inline = {"machineConfig": SIZE, "machineImage": {"imageLocation": location}}
        for path, body in (
            ("machines", {"machineTemplate": inline}),
            ("machineTemplates", inline),
        ):
            assert (await api.admin.post(path, body)).status == 400, location
    assert await api.everything() == before


async def test_only_administrators_register_files(api: Any) -> None:
    alice = await api.user("alice")
    good = api.image_folder / "tiny.qcow2"
    good.write_bytes(b"image")
    image = await api.admin.made("machineImages", {"imageLocation": good.as_uri()})
    inline = {"machineConfig": SIZE, "machineImage": {"imageLocation": good.as_uri()}}
    for path, body in (
        ("machineImages", {"imageLocation": good.as_uri()}),
        ("machineTemplates", inline),
        ("machines", {"machineTemplate": inline}),
    ):
        assert (await alice.post(path, body)).status == 403
    by_reference = {"machineConfig": SIZE, "machineImage": {"href": image["id"]}}
    machine = await alice.made("machines", {"machineTemplate": by_reference})
    assert (await api.stored(machine)).spec.image.location == good.as_uri()


async def test_a_template_may_refer_only_to_what_its_maker_sees(api: Any) -> None:
    alice, bob = await api.user("alice"), await api.user("bob")
    image = await alice.made("machineImages", {"imageLocation": "simulated:x"})
    body = {"machineConfig": SIZE, "machineImage": {"href": image["id"]}}
    assert (await alice.post("machineTemplates", body)).status == 201
    refused = await bob.post("machineTemplates", body)
    assert refused.status == 400
    assert "machineImage.href" in refused.json["statusMessage"]


async def test_tombstones_are_read_only(api: Any) -> None:
    assert (await api.admin.get("machineTombstones")).json["count"] == 0
    assert (await api.admin.post("machineTombstones", {})).status == 405
    assert (await api.admin.delete("machineTombstones/x")).status == 405
