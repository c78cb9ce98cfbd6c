"""libvirt-python, imported at first use, so that this package can be imported without it."""

from __future__ import annotations

import importlib
from typing import Any

from stratuslab.core.errors import ConfigurationError


class _Binding:
    """Stands for the module `libvirt`; each attribute is looked up there once."""

    def __getattr__(self, name: str) -> Any:
        try:
            module = importlib.import_module("libvirt")
        except ImportError as error:
            raise ConfigurationError(
                f"libvirt-python cannot be used on this machine: {error}.",
                hint="Install it: pip install 'stratuslab-vm-controller[libvirt]' (it needs the "
                "system packages libvirt-dev, pkg-config and a C compiler).",
            ) from error
        value = getattr(module, name)
        setattr(self, name, value)
        return value


libvirt: Any = _Binding()
