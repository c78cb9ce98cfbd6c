"""The distribution packages the guest is made of: chosen by apt, kept in a cache, unpacked.

Once downloaded, a selection is reused without apt or a network until a refresh is asked for.
Never installs anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from guest_recipe.commands import BuildError, run

KERNEL_PACKAGE = re.compile(r"Depends: (linux-(?:image|modules)-\d\S*)")
DOWNLOAD_LINE = re.compile(r"'[^']+' (?P<file>\S+) \d+ (?P<digest>\w+:[0-9a-f]+)")
# apt drops to an unprivileged user when root runs it, which then cannot write the cache.
AS_ROOT = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class Package:
    """One .deb in the cache: its file name (name, version, architecture) and digest."""

    file: str
    digest: str  # "SHA256:<hexadecimal>", as apt gives it

    @property
    def name(self) -> str:
        return self.file.partition("_")[0]

    def is_intact(self, cache: Path) -> bool:
        path = cache / self.file
        if not path.is_file():
            return False
        algorithm, _, expected = self.digest.partition(":")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, algorithm.lower()).hexdigest() == expected


def obtain(list_file: Path, cache: Path, *, refresh: bool) -> list[Package]:
    """Return the packages named in `list_file`, all present and intact in `cache`.

    Takes the selection of the last time if it is complete and `refresh` is false. Raises
    BuildError when apt does not know a package or cannot download it.
    """
    cache.mkdir(parents=True, exist_ok=True)
    wanted = read_list(list_file)
    selection_file = cache / "selection.json"
    if not refresh:
        remembered = _remembered(selection_file, wanted)
        if remembered and all(package.is_intact(cache) for package in remembered):
            return remembered
    names = [name for alternatives in wanted for name in _first_known(alternatives)]
    selection = _selection_of_apt(names)
    missing = [package for package in selection if not package.is_intact(cache)]
    if missing:
        _download([package.name for package in missing], missing, cache)
    record = {"wanted": wanted, "packages": [asdict(package) for package in selection]}
    selection_file.write_text(json.dumps(record, indent=2) + "\n")
    return selection


def read_list(list_file: Path) -> list[list[str]]:
    """Read one package a line; "a | b" gives several alternatives, "#" starts a comment."""
    lines = (line.partition("#")[0].strip() for line in list_file.read_text().splitlines())
    return [[name.strip() for name in line.split("|")] for line in lines if line]


def unpack(packages: list[Package], cache: Path, target: Path) -> None:
    """Unpack every package into `target`, without running its scripts."""
    target.mkdir()
    for package in packages:
        run(["dpkg-deb", "-x", cache / package.file, target])


def _remembered(selection_file: Path, wanted: list[list[str]]) -> list[Package]:
    try:
        record = json.loads(selection_file.read_text())
        if record["wanted"] != wanted:
            return []
        return [Package(**entry) for entry in record["packages"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # a damaged selection is made anew


def _first_known(alternatives: list[str]) -> list[str]:
    """The first alternative apt knows; a kernel meta package is replaced by what it points to."""
    for name in alternatives:
        if len(alternatives) > 1 and not _is_known(name):
            continue
        return _kernel_packages(name) if name.startswith("linux-image-") else [name]
    raise BuildError(f"apt knows no package {' or '.join(alternatives)}; run: sudo apt-get update")


def _is_known(name: str) -> bool:
    try:
        run(["apt-cache", "show", "--no-all-versions", name])
    except BuildError:
        return False
    return True


def _kernel_packages(meta_package: str) -> list[str]:
    found: list[str] = []
    pending = [meta_package]
    while pending:
        depends = run(["apt-cache", "depends", "--important", pending.pop(0)]).decode()
        for name in KERNEL_PACKAGE.findall(depends):
            if name not in found:
                found.append(name)
                pending.append(name)
    if not found:
        raise BuildError(f"package {meta_package} names no kernel; run: sudo apt-get update")
    return found


def _selection_of_apt(names: list[str]) -> list[Package]:
    try:
        answer = run(["apt-get", *AS_ROOT, "download", "--print-uris", *names]).decode()
    except BuildError as error:
        raise BuildError(f"{error}; run: sudo apt-get update") from error
    found = {
        package.name: package
        for match in DOWNLOAD_LINE.finditer(answer)
        for package in [Package(match["file"], match["digest"])]
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise BuildError(f"apt gives no download for {' '.join(missing)}; run: sudo apt-get update")
    return [found[name] for name in names]


def _download(names: list[str], packages: list[Package], cache: Path) -> None:
    try:
        run(["apt-get", *AS_ROOT, "-q", "-o", "Acquire::Retries=3", "download", *names], cwd=cache)
    except BuildError as error:
        raise BuildError(
            f"cannot download the guest's packages ({error}); check the network, "
            "or if the mirror has moved on run: sudo apt-get update"
        ) from error
    for package in packages:
        if not package.is_intact(cache):
            raise BuildError(f"{package.file} is not what apt announced; run: sudo apt-get update")
