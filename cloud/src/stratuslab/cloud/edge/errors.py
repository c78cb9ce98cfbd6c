"""What can go wrong between the door and a service; the rest is in the core's tree of errors."""

from __future__ import annotations

from stratuslab.core.errors import TransientError


class BadGateway(TransientError):
    """The service gave no proper answer, or refused what the door needs of it."""

    code = "bad-gateway"
    http_status = 502


class GatewayTimeout(TransientError):
    """The service did not answer in time; what was asked may have been done."""

    code = "gateway-timeout"
    http_status = 504
