"""Whether an order may be carried out on a domain that has obeyed orders before. Pure."""

from __future__ import annotations

from stratuslab.vm_controller.drivers.base import DomainMark, DomainRejected


def refuse_stale(id: str, held: DomainMark | None, order: DomainMark) -> None:
    """Raise DomainRejected for an order of another cloud, or older than one already obeyed."""
    if held is None:
        return
    if held.cloud_id != order.cloud_id:
        raise DomainRejected(
            f"Domain {id} belongs to another cloud, {held.cloud_id}.",
            hint="Check which store this agent is connected to.",
        )
    if order.fence < held.fence:
        raise DomainRejected(
            f"Stale fence: the order for domain {id} carries fence {order.fence}, but the domain "
            f"has obeyed fence {held.fence} already.",
            hint="Another agent has taken over: read the machine's document again.",
        )
    if order.fence == held.fence and order.generation < held.generation:
        raise DomainRejected(
            f"Stale generation: the order for domain {id} is of generation {order.generation}, "
            f"but the domain has obeyed generation {held.generation} already.",
            hint="The order comes from an old document: read it again.",
        )
