from __future__ import annotations

from pathlib import Path

import pytest

from stratuslab.cloud.layout import DataFolder
from stratuslab.core.errors import ConfigurationError


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_everything_is_private_whatever_it_was_before(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    data.secrets.mkdir(parents=True, mode=0o755)
    data.prepare()
    data.prepare()
    folders = [data.path, *data.path.iterdir()]
    assert {mode(folder) for folder in folders} == {0o700}
    assert {folder.name for folder in data.path.iterdir()} == {
        *("run", "logs", "secrets", "images", "store", "nats", "hosts")
    }


def test_others_may_pass_to_disks_only(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    data.prepare()
    data.let_others_pass("here")
    folders = [folder for folder in data.path.rglob("*") if folder.is_dir()]
    open_to_pass = [folder for folder in folders if mode(folder) & 0o001]
    names = {str(folder.relative_to(data.path)) for folder in open_to_pass}
    assert names == {"images", "hosts", "hosts/here", "hosts/here/machines"}
    assert not [folder for folder in open_to_pass if mode(folder) & 0o066]


def test_a_file_in_the_way_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationError, match=r"data cannot be used: (File exists|Not a dir)"):
        DataFolder(tmp_path / "data").prepare()


def test_a_folder_that_is_not_ours_is_one_clear_line() -> None:
    # Even root may not make a folder there.
    with pytest.raises(ConfigurationError, match=r"cannot be used: .* (denied|permitted)"):
        DataFolder(Path("/sys/data")).prepare()


def test_a_path_too_long_for_sockets_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / ("x" * 100))
    with pytest.raises(ConfigurationError, match="is longer than 89 bytes"):
        data.prepare()
    assert not data.path.exists()
    longest = DataFolder(Path("/" + "x" * 88))
    assert len(str(longest.cimi_socket)) <= 107
