"""The generated reference pages are what the code says, and nothing is missing on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stratuslab.core.contracts.messages import ADDRESSES
from stratuslab.core.documents.kinds import kinds
from stratuslab.core.reference.discovery import errors, import_everything, metrics
from stratuslab.core.reference.machine_states_page import transitions
from stratuslab.core.reference.subjects_page import subject
from stratuslab.core.settings import settings_classes
from stratuslab.core.settings.declaration import declared, variable

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs/reference"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # In a process of its own: in this one other tests have declared kinds and metrics.
    return subprocess.run(
        [sys.executable, "-m", "stratuslab.core.reference", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _page(name: str) -> str:
    return (REFERENCE / name).read_text()


def test_the_pages_are_what_the_code_says() -> None:
    done = _run(str(REFERENCE), "--check")
    assert done.returncode == 0, f"{done.stderr}\nRun `make docs` and commit docs/reference."


def test_the_pages_are_the_same_on_a_machine_without_libvirt() -> None:
    program = (
        "import sys; sys.modules['libvirt'] = None; "
        "from stratuslab.core.reference.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(REFERENCE), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_page_that_was_changed_by_hand_is_noticed_and_written_again(tmp_path: Path) -> None:
    assert _run(str(tmp_path)).returncode == 0
    page = tmp_path / "errors.md"
    text = page.read_text()
    page.write_text(text + "by hand\n")
    checked = _run(str(tmp_path), "--check")
    assert checked.returncode == 1
    assert "errors.md is not what the code says. Run: make docs" in checked.stderr
    assert page.read_text() == text + "by hand\n"
    assert _run(str(tmp_path)).stdout == f"wrote {page}\n"
    assert page.read_text() == text


def test_every_setting_is_on_its_page() -> None:
    page = _page("settings.md")
    for section in settings_classes():
        assert f"## [{section.section}]" in page
        for name in declared(section):
            assert f"| `{variable(section.section, name)}` |" in page


def test_every_subject_is_on_its_page() -> None:
    page = _page("subjects.md")
    for address in ADDRESSES:
        assert f"| `{subject(address)}` |" in page


def test_every_error_code_is_on_its_page() -> None:
    import_everything()
    page = _page("errors.md")
    for error in errors():
        assert f"| `{error.code}` |" in page


def test_every_metric_is_on_its_page_and_well_named() -> None:
    import_everything()
    page = _page("metrics.md")
    found = [metric for metric in metrics() if metric.name.startswith("stratuslab_")]
    assert len(found) > 20
    for metric in found:
        assert f"| `{metric.name}` |" in page
        assert metric.documentation[0].isupper()
        if metric.type == "histogram":
            assert metric.name.endswith(("_seconds", "_bytes")), "a measured value names its unit"


def test_every_kind_is_on_its_page() -> None:
    page = _page("kinds.md")
    installed = [each for each in kinds() if each.type.__module__.startswith("stratuslab.")]
    assert len(installed) > 10
    for kind in installed:
        assert f"\n## {kind.name}\n" in page
        for field in kind.fields:
            assert f"`{field.name}`" in page


def test_the_diagram_of_machine_states_leads_everywhere_and_out_again() -> None:
    reached = {"[*]"}
    arrows = [(str(begin), str(end)) for begin, end, _ in transitions()]
    for _ in arrows:
        reached |= {end for begin, end in arrows if begin in reached}
    states = {state for arrow in arrows for state in arrow}
    assert reached == states
    page = _page("machine-states.md")
    for begin, end in arrows:
        if begin != end:
            assert f"{begin} --> {end}: " in page
    stuck = states - {begin for begin, _ in arrows}
    assert not stuck


@pytest.mark.parametrize("name", ["settings.md", "subjects.md", "metrics.md", "errors.md"])
def test_pages_tell_where_they_come_from_and_show_no_place_of_this_machine(name: str) -> None:
    page = _page(name)
    assert page.startswith("<!-- Written by `make docs`")
    assert str(ROOT) not in page
