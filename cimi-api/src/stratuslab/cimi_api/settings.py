"""The settings of the front, section `[cimi-api]`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from stratuslab.core.settings import Setting, Settings


class CimiSettings(Settings, frozen=True, kw_only=True):
    """What the front can be told. Environment: `STRATUSLAB_CIMI_API_<FIELD>`."""

    section: ClassVar[str] = "cimi-api"

    listen: Annotated[
        str, Setting("Where the API is served: `127.0.0.1:9200` or `unix:/path`.")
    ] = "127.0.0.1:9200"
    base_uri: Annotated[
        str,
        Setting(
            "Absolute URI of the API as clients see it, ending in `/cimi/`. Empty: the host name "
            "that each client used."
        ),
    ] = ""
    trust_forwarded: Annotated[
        bool,
        Setting(
            "Believe `X-Forwarded-Host` and `X-Forwarded-Proto`. Only where nobody but the front "
            "door can reach `listen`."
        ),
    ] = False
    cloud_name: Annotated[str, Setting("The name of the cloud, shown by its entry point.")] = (
        "StratusLab cloud"
    )
    provider: Annotated[str, Setting("Who runs the cloud, shown by its entry point.")] = (
        "StratusLab"
    )
    admin_password_file: Annotated[
        str,
        Setting(
            "File that gets the random password of the account `admin` when the cloud is started "
            "for the first time, mode 0600."
        ),
    ] = "/var/lib/stratuslab/admin-password"  # noqa: S105 - a path
    image_folders: Annotated[
        tuple[str, ...],
        Setting("Folders in which `file:` locations of machine images may lie."),
    ] = ("/var/lib/stratuslab/images",)
    body_bytes_max: Annotated[
        int, Setting("The largest body of a request.", minimum=4096, maximum=64 * 1024 * 1024)
    ] = 1024 * 1024
    requests_in_flight_max: Annotated[
        int, Setting("Requests worked on at once; more are answered 429.", minimum=1)
    ] = 512
    request_timeout_seconds: Annotated[
        float, Setting("The longest a changing request may take.", minimum=0.1)
    ] = 30.0
    console_timeout_seconds: Annotated[
        float, Setting("How long a host may take to send a console log.", minimum=0.1)
    ] = 5.0
    job_deadline_seconds: Annotated[
        float,
        Setting("After this time the job of a machine fails unless it is done.", minimum=1),
    ] = 300.0
    render_cache_entries: Annotated[
        int, Setting("Resources kept rendered in memory, about 4 kB each.", minimum=1)
    ] = 5000
    login_cache_entries: Annotated[
        int, Setting("Logins remembered in memory, so that they need no slow hash.", minimum=1)
    ] = 5000
