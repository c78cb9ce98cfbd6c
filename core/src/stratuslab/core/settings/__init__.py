"""Settings: one frozen class per service, read once from environment, TOML and couchbase.cfg."""

from stratuslab.core.settings.declaration import CommonSettings, Setting, Settings, settings_classes
from stratuslab.core.settings.loading import Loaded, load, load_all

__all__ = [
    "CommonSettings",
    "Loaded",
    "Setting",
    "Settings",
    "load",
    "load_all",
    "settings_classes",
]
