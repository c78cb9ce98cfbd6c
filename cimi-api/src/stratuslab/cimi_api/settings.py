"""The settings of the front."""

from __future__ import annotations

from pathlib import Path

import msgspec


class CimiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Section `cimi-api`."""

    listen: str = "127.0.0.1:9200"
    base_uri: str = ""
    trust_forwarded: bool = False
    cloud_name: str = "StratusLab"
    provider: str = "StratusLab"
    admin_password_file: Path = Path("/var/lib/stratuslab/admin-password")
    image_folders: tuple[Path, ...] = (Path("/var/lib/stratuslab/images"),)
    body_bytes_max: int = 1024 * 1024
    requests_in_flight_max: int = 512
    request_timeout_seconds: float = 30.0
    console_timeout_seconds: float = 5.0
    job_deadline_seconds: float = 300.0
    render_cache_entries: int = 5000
    login_cache_entries: int = 5000
