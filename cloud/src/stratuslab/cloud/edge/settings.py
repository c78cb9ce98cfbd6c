"""The settings of the front door."""

from __future__ import annotations

from typing import Annotated, ClassVar

from stratuslab.core.settings import Setting, Settings


class EdgeSettings(Settings, frozen=True, kw_only=True):
    """Section `edge`."""

    section: ClassVar[str] = "edge"

    listen: Annotated[str, Setting("The one address of the cloud.")] = "127.0.0.1:8400"
    cimi: Annotated[
        str, Setting("Where the CIMI front listens: `unix:/path` or `127.0.0.1:9200`.")
    ] = "127.0.0.1:9200"
    tls_certificate_file: Annotated[
        str, Setting("Certificate chain in PEM; with it the door speaks TLS only.")
    ] = ""
    tls_key_file: Annotated[str, Setting("Private key of the certificate in PEM.")] = ""
    trusted_proxies: Annotated[
        tuple[str, ...],
        Setting(
            "Addresses of proxies or load balancers in front of the door. Only theirs are the "
            "`X-Forwarded-` headers that are believed; from anybody else they are dropped."
        ),
    ] = ()
    connect_seconds: Annotated[
        float, Setting("How long to wait for a service to take a connection.", minimum=0.1)
    ] = 2.0
    answer_seconds: Annotated[float, Setting("How long a service may be silent.", minimum=1)] = 60.0
    requests_in_flight_max: Annotated[
        int, Setting("Requests passed on at once; more are answered 503.", minimum=1)
    ] = 1024
    body_mib_max: Annotated[
        int, Setting("Largest body of a request; uploads are streamed.", minimum=1)
    ] = 16384
