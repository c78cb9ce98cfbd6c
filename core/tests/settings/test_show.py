"""What `config show` tells, and what it keeps to itself."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from stratuslab.core.settings.show import MASK, as_json, as_text, shown

KEY = "5" * 64


def test_every_value_is_shown_with_its_source(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text('[vm-agent]\nimage_folders = ["/a", "/b"]\n')
    lines = shown({"STRATUSLAB_STORE": "memory:"}, file)
    by_name = {(line.section, line.name): line for line in lines}
    store = by_name["common", "store"]
    assert (store.value, store.source) == ("memory:", "environment variable STRATUSLAB_STORE")
    folders = by_name["vm-agent", "image_folders"]
    assert (folders.value, folders.source) == (["/a", "/b"], f"{file}:2")
    assert by_name["common", "loop"].source == "default"


def test_secrets_and_passwords_in_urls_are_masked() -> None:
    environ = {
        "STRATUSLAB_VAULT_KEY": KEY,
        "STRATUSLAB_STORE": "couchbase://cloud:hunter2@db/default",
    }
    lines = shown(environ)
    for text in (as_text(lines), as_json(lines).decode()):
        assert KEY not in text
        assert "hunter2" not in text
        assert MASK in text
        assert f"couchbase://cloud:{MASK}@db/default" in text


def test_a_secret_that_is_not_set_shows_as_empty() -> None:
    (line,) = (line for line in shown({}) if line.name == "vault_key")
    assert line.value == ""


def test_the_text_is_a_toml_file_and_the_json_a_list() -> None:
    lines = shown({"STRATUSLAB_CIMI_API_CLOUD_NAME": 'a "quoted" name'})
    tables = tomllib.loads(as_text(lines))
    assert tables["cimi-api"]["cloud_name"] == 'a "quoted" name'
    assert tables["common"]["drain_seconds"] == 8.0
    assert {"section", "name", "value", "source"} == set(json.loads(as_json(lines))[0])
