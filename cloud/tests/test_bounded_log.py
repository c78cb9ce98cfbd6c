from __future__ import annotations

from pathlib import Path

from stratuslab.cloud.bounded_log import keep_small, last_line


def test_a_large_log_is_moved_aside_and_written_on(tmp_path: Path) -> None:
    log = tmp_path / "store.log"
    with log.open("ab", buffering=0) as writing:
        writing.write(b"x" * 1000 + b"\nold\n")
        keep_small(log, largest_bytes=2000)
        assert log.stat().st_size == 1005
        keep_small(log, largest_bytes=500)
        assert log.stat().st_size == 0
        writing.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "store.log.1").read_bytes().endswith(b"old\n")


def test_only_one_old_part_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "store.log"
    for number in range(3):
        log.write_bytes(b"%d" % number * 100)
        keep_small(log, largest_bytes=50)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["store.log", "store.log.1"]
    assert (tmp_path / "store.log.1").read_bytes() == b"2" * 100


def test_the_last_line_is_what_was_said_last(tmp_path: Path) -> None:
    log = tmp_path / "edge.log"
    assert last_line(log) == ""
    log.write_bytes(b"\n" * 3)
    assert last_line(log) == ""
    log.write_bytes(b"a" * 10_000 + "\nfür dich\n\n".encode())
    assert last_line(log) == "für dich"


def test_what_a_service_logged_is_told_in_words(tmp_path: Path) -> None:
    log = tmp_path / "vm-agent.log"
    log.write_text('{"timestamp":"x","event":"libvirt.not_reached","error":"no socket"}\n')
    assert last_line(log) == "libvirt.not_reached: no socket"
    log.write_text('{"event":"service.stopped"}\n')
    assert last_line(log) == "service.stopped"
