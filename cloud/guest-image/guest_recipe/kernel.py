"""The kernel and the modules it needs, found in an unpacked kernel package.

Follows the modules' own dependency records, so that a kernel with other built-in parts works.
"""

from __future__ import annotations

import gzip
import lzma
import re
from dataclasses import dataclass
from pathlib import Path

from guest_recipe.commands import BuildError, run

DEPENDS = re.compile(rb"(?:^|\0)depends=([^\0]*)\0")
MODULE_FILE = re.compile(r"(?P<name>.+)\.ko(?:\.(?:gz|xz|zst))?")


@dataclass(frozen=True)
class Module:
    """One loadable module: its name with underscores, its plain ELF content, what it needs."""

    name: str
    content: bytes
    depends: tuple[str, ...]


class Kernel:
    """A kernel package unpacked in `tree`."""

    def __init__(self, tree: Path) -> None:
        images = sorted(tree.glob("boot/vmlinuz-*"))
        if len(images) != 1:
            raise BuildError(f"expected one kernel in the packages, found {len(images)}")
        self.image = images[0]
        self.version = self.image.name.removeprefix("vmlinuz-")
        folders = [
            folder
            for prefix in ("lib", "usr/lib")
            if (folder := tree / prefix / "modules" / self.version).is_dir()
        ]
        if not folders:
            raise BuildError(f"the packages hold no modules for kernel {self.version}")
        self._files = {
            _canonical(match["name"]): path
            for folder in folders
            for path in sorted(folder.rglob("*.ko*"))
            if (match := MODULE_FILE.fullmatch(path.name))
        }
        self._built_in = {
            _canonical(Path(line).name.removesuffix(".ko"))
            for folder in folders
            for built_in in folder.glob("modules.builtin")
            for line in built_in.read_text().splitlines()
        }

    def in_load_order(self, names: list[str]) -> list[Module]:
        """Return the named modules and all they need, each after what it needs.

        Leaves out what is built into the kernel; raises BuildError for an unknown name.
        """
        ordered: dict[str, Module] = {}

        def visit(name: str) -> None:
            if name in ordered or name in self._built_in:
                return
            if name not in self._files:
                raise BuildError(f"kernel {self.version} has no module {name}")
            content = _plain(self._files[name])
            match = DEPENDS.search(content)
            needs = match[1].decode().split(",") if match and match[1] else []
            depends = tuple(_canonical(need) for need in needs)
            for need in depends:
                visit(need)
            ordered[name] = Module(name, content, depends)

        for name in names:
            visit(_canonical(name))
        return list(ordered.values())


def read_list(list_file: Path) -> dict[str, list[str]]:
    """Read lines "boot NAME" and "root NAME"; return the names for each of the two places."""
    places: dict[str, list[str]] = {"boot": [], "root": []}
    for line in list_file.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words:
            place, name = words
            places[place].append(name)
    return places


def _canonical(name: str) -> str:
    return name.replace("-", "_")


def _plain(path: Path) -> bytes:
    match path.suffix:
        case ".gz":
            return gzip.decompress(path.read_bytes())
        case ".xz":
            return lzma.decompress(path.read_bytes())
        case ".zst":
            return run(["zstd", "-dcq", path])
        case _:
            return path.read_bytes()
