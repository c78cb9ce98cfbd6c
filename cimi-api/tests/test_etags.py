"""ETags and conditional requests."""

from __future__ import annotations

from typing import Any

from stratuslab.cimi_api.preconditions import matches


async def test_the_tag_of_a_machine_covers_what_users_write_not_its_state(api: Any) -> None:
    machine = await api.admin.machine()
    tags = [(await api.admin.get(machine["id"])).headers["ETag"]]
    await api.settle(machine)
    tags.append((await api.admin.get(machine["id"])).headers["ETag"])
    assert tags[0] == tags[1]
    await api.admin.put(f"{machine['id']}?$select=name", {"name": "other"})
    tags.append((await api.admin.get(machine["id"])).headers["ETag"])
    await api.admin.post(f"{machine['id']}/start")
    tags.append((await api.admin.get(machine["id"])).headers["ETag"])
    assert len(set(tags)) == 3


async def test_if_match_lets_only_the_version_that_was_seen_be_changed(api: Any) -> None:
    image = await api.admin.post("machineImages", {"imageLocation": "simulated:x"})
    uri, tag = image.json["id"], image.headers["ETag"]
    body = {"imageLocation": "simulated:y"}
    for good in ("{tag}", '"other", {tag}', "*"):
        header = good.format(tag=tag)
        answer = await api.admin.put(uri, body, headers={"If-Match": header})
        assert answer.status == 200
        tag = answer.headers["ETag"]
    before = await api.everything()
    for bad in ('"other"', f"W/{tag}"):
        for refused in (
            await api.admin.put(uri, body, headers={"If-Match": bad}),
            await api.admin.delete(uri, headers={"If-Match": bad}),
        ):
            assert refused.status == 412
            assert refused.json["code"] == "precondition-failed"
    assert await api.everything() == before
    assert (await api.admin.delete(uri, headers={"If-Match": tag})).status == 200


async def test_a_state_change_fails_no_if_match(api: Any) -> None:
    machine = await api.admin.machine()
    tag = (await api.admin.get(machine["id"])).headers["ETag"]
    await api.settle(machine)
    answer = await api.admin.put(machine["id"], {"name": "x"}, headers={"If-Match": tag})
    assert answer.status == 200


async def test_what_did_not_change_need_not_be_sent_again(api: Any) -> None:
    image = await api.admin.post("machineImages", {"imageLocation": "simulated:x"})
    uri, tag = image.json["id"], image.headers["ETag"]
    same = await api.admin.get(uri, headers={"If-None-Match": tag})
    assert (same.status, same.text, same.headers["ETag"]) == (304, "", tag)
    assert (await api.admin.get(uri, headers={"If-None-Match": f"W/{tag}"})).status == 304
    await api.admin.put(uri, {"imageLocation": "simulated:x", "name": "new"})
    assert (await api.admin.get(uri, headers={"If-None-Match": tag})).status == 200


async def test_a_machine_is_always_sent_because_its_state_is_not_in_the_tag(api: Any) -> None:
    machine = await api.admin.machine()
    tag = (await api.admin.get(machine["id"])).headers["ETag"]
    await api.settle(machine)
    answer = await api.admin.get(machine["id"], headers={"If-None-Match": tag})
    assert answer.status == 200
    assert answer.json["state"] == "STOPPED"


async def test_if_none_match_on_a_change_cannot_hold(api: Any) -> None:
    image = await api.admin.made("machineImages", {"imageLocation": "simulated:x"})
    answer = await api.admin.delete(image["id"], headers={"If-None-Match": "*"})
    assert answer.status == 412


def test_tags_are_compared_strongly_unless_only_read() -> None:
    assert matches('"a", "b"', '"b"')
    assert not matches('W/"b"', '"b"')
    assert matches('W/"b"', '"b"', weak=True)
    assert matches("*", '"b"')
    assert not matches("", '"b"')
