"""The virtual environment `.venv`: made once, filled with the cloud and its development tools.

Owns `.venv` and the mark in it that tells with which declarations it was filled, so that a
second run costs nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
MARK = VENV / "installed"
CONSTRAINTS = ROOT / "constraints.txt"


def can_be_made() -> bool:
    """Whether this Python can make virtual environments (Debian splits that off)."""
    try:
        import ensurepip  # noqa: F401 - only asked whether it is there
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def has_headers() -> bool:
    """Whether extensions in C can be built for this Python."""
    return (Path(sysconfig.get_paths()["include"]) / "Python.h").exists()


def has_libvirt() -> bool:
    """Whether `.venv` holds libvirt-python."""
    return PYTHON.exists() and _quietly([str(PYTHON), "-c", "import libvirt"]) == 0


def declarations() -> str:
    """A digest of everything that decides what belongs into `.venv`."""
    files = [ROOT / "pyproject.toml", ROOT / "hatch_build.py", CONSTRAINTS]
    files += sorted(ROOT.glob("*/pyproject.toml"))
    digest = hashlib.sha256(str(ROOT).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def ensure() -> None:
    """Makes and fills `.venv`. Raises CalledProcessError when pip fails."""
    if not PYTHON.exists() or _quietly([str(PYTHON), "-m", "pip", "--version"]) != 0:
        print(f"Making the virtual environment {VENV.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    wanted = declarations()
    if MARK.exists() and MARK.read_text() == wanted:
        return
    print(f"Installing the cloud and its tools into {VENV.name}", flush=True)
    pip("--editable", ".[dev]")
    MARK.write_text(wanted)


def ensure_libvirt() -> bool:
    """Adds libvirt-python where the system's libvirt can be built against."""
    if has_libvirt():
        return True
    if shutil.which("pkg-config") is None or _quietly(["pkg-config", "--exists", "libvirt"]) != 0:
        return False
    print("Building libvirt-python for the libvirt of this machine", flush=True)
    try:
        pip("libvirt-python")
    except subprocess.CalledProcessError:
        return False
    return has_libvirt()


def pip(*arguments: str) -> None:
    """One `pip install` under the constraints. Raises CalledProcessError."""
    quiet = ["--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [str(PYTHON), "-m", "pip", "install", *quiet, "--constraint", str(CONSTRAINTS), *arguments],
        cwd=str(ROOT), check=True,
    )  # fmt: skip


def _quietly(command: list[str]) -> int:
    return subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode
