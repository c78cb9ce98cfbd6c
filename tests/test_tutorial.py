"""The tutorial's examples run as they stand, one after the other, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from cloud_process import CloudProcess

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial" / "first-cloud.md"

pytestmark = [pytest.mark.cluster]


def examples() -> str:
    """The indented blocks that follow an example mark, as one script."""
    blocks = re.findall(r"<!-- example -->\n\n((?:    .*\n|\n)+)", TUTORIAL.read_text())
    assert len(blocks) >= 4
    return "\n".join(re.sub("(?m)^    ", "", block) for block in blocks)


def test_the_tutorial_works_as_written(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "data", ["--hypervisor", "simulated", "--guest"])
    cloud.up()
    try:
        user, password = cloud.login
        script = examples().replace("curl -s", "curl --fail-with-body -sS")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={**os.environ, "CLOUD": cloud.cimi, "LOGIN": f"{user}:{password}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"MachineCollection"' in done.stdout or "MachineCollection" in done.stdout
    finally:
        cloud.down()
