"""Every setting of every installed service is declared as it should be."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest

from stratuslab.core.settings import Settings, settings_classes
from stratuslab.core.settings.declaration import declared, unit_of, variable

ALL = [
    (section.section, name, declaration)
    for section in settings_classes()
    for name, declaration in declared(section).items()
]


def test_every_installed_service_announces_its_settings() -> None:
    sections = [section.section for section in settings_classes()]
    assert sections[0] == "common"
    assert {"store", "cimi-api", "vm-agent", "vm-scheduler"} <= set(sections)
    assert len(set(sections)) == len(sections)


@pytest.mark.parametrize(("section", "name", "declaration"), ALL)
def test_every_setting_is_explained(section: str, name: str, declaration: object) -> None:
    setting = declaration.setting  # type: ignore[attr-defined]
    assert setting.doc[0] in "`«" or setting.doc[0].isupper(), "begins like a sentence"
    assert setting.doc.endswith("."), "ends like a sentence"


@pytest.mark.parametrize(("section", "name", "declaration"), ALL)
def test_numbers_have_a_least_value_and_times_a_unit(
    section: str, name: str, declaration: object
) -> None:
    if declaration.type in (int, float):  # type: ignore[attr-defined]
        assert declaration.setting.minimum is not None  # type: ignore[attr-defined]
    if declaration.type is float:  # type: ignore[attr-defined]
        assert unit_of(name), "a measured value needs its unit in the name"


@pytest.mark.parametrize(("section", "name", "declaration"), ALL)
def test_defaults_obey_their_own_bounds(section: str, name: str, declaration: object) -> None:
    setting, default = declaration.setting, declaration.default  # type: ignore[attr-defined]
    if setting.minimum is not None:
        assert default >= setting.minimum
    if setting.maximum is not None:
        assert default <= setting.maximum


@pytest.mark.parametrize(("section", "name", "declaration"), ALL)
def test_what_sounds_secret_is_secret(section: str, name: str, declaration: object) -> None:
    sounds = any(word in name.split("_") for word in ("password", "key", "token", "secret"))
    if sounds and not name.endswith(("_file", "_seconds", "_entries")):
        assert declaration.setting.secret  # type: ignore[attr-defined]


def test_no_two_settings_share_an_environment_variable() -> None:
    names = [variable(section, name) for section, name, _ in ALL]
    assert len(set(names)) == len(names)


def test_a_setting_without_a_meaning_is_refused() -> None:
    class Mute(Settings, frozen=True, kw_only=True):
        section: ClassVar[str] = "mute"
        loud: bool = False

    class Needy(Settings, frozen=True, kw_only=True):
        section: ClassVar[str] = "needy"
        loud: Annotated[bool, "x"] = False

    for section in (Mute, Needy):
        with pytest.raises(AssertionError, match=r"loud has no meaning"):
            declared(section)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("heartbeat_seconds", "seconds"),
        ("body_bytes_max", "bytes"),
        ("simulated_memory_gib", "gib"),
        ("workers", ""),
        ("requests_in_flight_max", ""),
    ],
)
def test_units_are_read_from_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit
