"""What settings come from, and what is said when they are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest

from stratuslab.core.errors import ConfigurationError
from stratuslab.core.settings import CommonSettings, Setting, Settings, load, load_all


class LampSettings(Settings, frozen=True, kw_only=True):
    section: ClassVar[str] = "lamp-post"

    glow_seconds: Annotated[float, Setting("How long it glows.", minimum=0.5, maximum=60)] = 5.0
    bulbs: Annotated[int, Setting("How many bulbs it has.", minimum=1)] = 1
    colour: Annotated[Literal["amber", "white"], Setting("The colour of its light.")] = "amber"
    dimmed: Annotated[bool, Setting("Whether it is dimmed.")] = False
    streets: Annotated[tuple[str, ...], Setting("Where it stands.")] = ()
    pin: Annotated[str, Setting("What opens it.", secret=True)] = ""
    code_number: Annotated[int, Setting("What else opens it.", secret=True)] = 0


def _file(folder: Path, text: str) -> Path:
    path = folder / "stratuslab.toml"
    path.write_text(text)
    return path


def _complaint(**arguments: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(LampSettings, **{"environ": {}, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_anything_the_defaults_hold() -> None:
    loaded = load(LampSettings, environ={"HOME": "/root"})
    assert loaded.settings == LampSettings()
    assert set(loaded.sources.values()) == {"default"}


def test_the_environment_comes_before_the_file_and_the_file_before_the_default(
    tmp_path: Path,
) -> None:
    file = _file(tmp_path, "# lamps\n[lamp-post]\nglow_seconds = 7\nbulbs = 3\n")
    environ = {"STRATUSLAB_LAMP_POST_BULBS": " 4 ", "STRATUSLAB_CONFIG": str(file)}
    loaded = load(LampSettings, environ=environ)
    assert (loaded.settings.bulbs, loaded.settings.glow_seconds) == (4, 7.0)
    assert loaded.settings.colour == "amber"
    assert loaded.sources["bulbs"] == "environment variable STRATUSLAB_LAMP_POST_BULBS"
    assert loaded.sources["glow_seconds"] == f"{file}:3"
    assert loaded.sources["colour"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("dimmed", "true", True),
        ("dimmed", "0", False),
        ("streets", "Elm, Oak ,", ("Elm", "Oak")),
        ("streets", "", ()),
        ("colour", "white", "white"),
        ("pin", " blanks stay ", " blanks stay "),
    ],
)
def test_every_type_can_be_given_by_the_environment(name: str, text: str, value: object) -> None:
    loaded = load(LampSettings, environ={f"STRATUSLAB_LAMP_POST_{name.upper()}": text})
    assert getattr(loaded.settings, name) == value


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("bulbs", "many", "must be a whole number"),
        ("bulbs", "1.5", "must be a whole number"),
        ("bulbs", "0", "must be at least 1"),
        ("glow_seconds", "61", "must be at most 60"),
        ("glow_seconds", "nan", "must be a finite number"),
        ("glow_seconds", "inf", "must be a finite number"),
        ("glow_seconds", "", "must be a number"),
        ("colour", "ambre", "must be one of amber, white. Did you mean amber?"),
        ("dimmed", "perhaps", "must be true or false"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_what_is_right(
    name: str, text: str, wanted: str
) -> None:
    key = f"STRATUSLAB_LAMP_POST_{name.upper()}"
    complaint = _complaint(environ={key: text})
    assert wanted in complaint
    assert key in complaint
    assert repr(text) in complaint


def test_the_file_is_strict_about_types_and_tells_the_line(tmp_path: Path) -> None:
    file = _file(tmp_path, '[lamp-post]\n\nbulbs = "3"\nstreets = [1]\n')
    complaint = _complaint(file=file)
    assert f"{file}:3: bulbs is '3' and must be a whole number." in complaint
    assert f"{file}:4: streets is [1]" in complaint


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        "log_level = 1\n[lamp-post]\nglow_secnds = 1\nvault_key_file = 'x'\n[lamp-pots]\n[common]\n"
        "bulbs = 1\n",
    )
    complaint = _complaint(
        file=file,
        environ={"STRATUSLAB_LAMP_POST_BULB": "1", "STRATUSLAB_LAMP_POST_DIMMED": "perhaps"},
    )
    assert complaint.startswith("7 errors in the configuration. ")
    for part in (
        "STRATUSLAB_LAMP_POST_BULB is unknown. Did you mean STRATUSLAB_LAMP_POST_BULBS?",
        f"{file}:1: log_level stands outside of any section. It belongs under [common].",
        f"{file}:3: the key glow_secnds in [lamp-post] is unknown. Did you mean glow_seconds?",
        f"{file}:4: the key vault_key_file in [lamp-post] is unknown. It belongs under [common].",
        f"{file}:5: the section [lamp-pots] is unknown. Did you mean lamp-post?",
        f"{file}:7: the key bulbs in [common] is unknown. It belongs under [lamp-post].",
        "dimmed is 'perhaps' and must be true or false.",
    ):
        assert part in complaint


def test_secret_values_are_not_repeated_in_complaints(tmp_path: Path) -> None:
    complaint = _complaint(environ={"STRATUSLAB_LAMP_POST_CODE_NUMBER": "hunter2"})
    assert "code_number must be a whole number" in complaint
    assert "hunter2" not in complaint


def test_several_sections_are_complained_about_together() -> None:
    environ = {"STRATUSLAB_LOOP": "uv", "STRATUSLAB_LAMP_POST_BULBS": "x"}
    with pytest.raises(ConfigurationError, match=r"2 errors.*loop is.*bulbs is"):
        load_all([CommonSettings, LampSettings], environ=environ)


def test_another_services_settings_are_no_error() -> None:
    assert load(LampSettings, environ={"STRATUSLAB_LOG_LEVEL": "debug"}).settings == LampSettings()


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    complaint = _complaint(environ={"STRATUSLAB_CONFIG": str(tmp_path / "absent.toml")})
    assert "does not exist" in complaint
    assert "unset STRATUSLAB_CONFIG" in complaint


@pytest.mark.parametrize("content", [b"[lamp-post\n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "stratuslab.toml"
    file.write_bytes(content)
    assert f"{file} is not valid TOML" in _complaint(file=file)


def test_a_folder_or_a_huge_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in _complaint(file=tmp_path)
    huge = _file(tmp_path, "#" * (1024 * 1024 + 1))
    assert "larger than 1 MiB" in _complaint(file=huge)


def test_couchbase_cfg_decides_about_the_store_only_when_nothing_else_does(
    tmp_path: Path,
) -> None:
    legacy = tmp_path / "couchbase.cfg"
    legacy.write_text("host = db1 db2\nusername = cloud\npassword = hunter2\n")
    loaded = load(CommonSettings, environ={}, couchbase_file=legacy)
    assert loaded.settings.store == "couchbase://cloud@db1,db2/default"
    assert loaded.sources["store"] == str(legacy)
    environ = {"STRATUSLAB_STORE": "memory:"}
    loaded = load(CommonSettings, environ=environ, couchbase_file=legacy)
    assert loaded.settings.store == "memory:"
    missing = load(CommonSettings, environ={}, couchbase_file=tmp_path / "absent")
    assert missing.settings.store == ""
