"""The console log of a machine."""

from __future__ import annotations

from typing import Any

import pytest

from stratuslab.core.contracts.messages import MACHINE_CONSOLE, ConsoleQuery, ConsoleReply

TEXT = "Linux version 6.1 — käse\n" + "x" * 1000 + "\nlogin: "


async def test_the_agent_of_its_host_is_asked(api: Any) -> None:
    alice = await api.user("alice")
    machine = await alice.machine(machineTemplate={"initialState": "STARTED"})
    await api.settle(machine, host="host-7")
    asked: list[ConsoleQuery] = []

    async def answer(query: ConsoleQuery) -> ConsoleReply:
        asked.append(query)
        return ConsoleReply(TEXT.encode()[-query.max_bytes :])

    operations = (await alice.get(machine["id"])).json["operations"]
    href = next(
        each["href"]
        for each in operations
        if each["rel"] == "https://stratuslab.eu/cimi/1/consoleLog"
    )
    async with api.bus.answers(MACHINE_CONSOLE, answer, host="host-7"):
        whole = await alice.get(href)
        end = await alice.get(f"{href}?bytes=7")
    assert whole.status == 200
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.text == TEXT
    assert end.text == "login: "
    assert [query.max_bytes for query in asked] == [65536, 7]
    assert machine["id"].endswith(asked[0].id)


async def test_a_silent_host_is_503_with_a_time_to_wait(api: Any) -> None:
    machine = await api.admin.machine()
    unplaced = await api.admin.get(f"{machine['id']}/consoleLog")
    await api.settle(machine, host="host-7")
    silent = await api.admin.get(f"{machine['id']}/consoleLog")
    for answer in (unplaced, silent):
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json["code"] == "unavailable"


@pytest.mark.parametrize("bytes", ["0", "-1", "x", "262145", "9" * 30, ""])
async def test_the_size_has_limits(api: Any, bytes: str) -> None:
    machine = await api.admin.machine()
    answer = await api.admin.get(f"{machine['id']}/consoleLog?bytes={bytes}")
    assert answer.status == 400
    assert "bytes" in answer.json["statusMessage"]


async def test_the_console_of_others_is_not_there(api: Any) -> None:
    alice = await api.user("alice")
    machine = await api.admin.machine()
    assert (await alice.get(f"{machine['id']}/consoleLog")).status == 404
