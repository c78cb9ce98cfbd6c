"""What happens to passwords, counted."""

from __future__ import annotations

from prometheus_client import Counter

PASSWORD_CHECKS = Counter(
    "stratuslab_password_checks",
    "Passwords compared: known from before, right or wrong by the slow hash, or turned away",
    ["outcome"],
)
KNOWN = PASSWORD_CHECKS.labels("known")
RIGHT = PASSWORD_CHECKS.labels("right")
WRONG = PASSWORD_CHECKS.labels("wrong")
TURNED_AWAY = PASSWORD_CHECKS.labels("turned-away")
