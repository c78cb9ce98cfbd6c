"""What schedulers and agents count."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

MACHINES_PLACED = Counter("stratuslab_machines_placed", "Machines given a host")
MACHINES_WITHOUT_ROOM = Counter(
    "stratuslab_machines_without_room", "Machines that had to wait for room on a host"
)
JOBS_OVERDUE = Counter("stratuslab_jobs_overdue", "Jobs that failed because their time was up")
HOSTS_LOST = Gauge("stratuslab_hosts_lost", "Hosts without a heartbeat at present")
AGENT_FAILURES = Counter(
    "stratuslab_agent_failures", "Failed looks at a machine, by kind of error", ["error"]
)
QUARANTINED_DOMAINS = Gauge(
    "stratuslab_quarantined_domains", "Domains of this cloud that no document names", ["host"]
)
