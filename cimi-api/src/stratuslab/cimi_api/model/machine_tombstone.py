"""MachineTombstone: what stays of a deleted machine. An extension of CIMI, read only."""

from __future__ import annotations

from datetime import datetime

from stratuslab.cimi_api.model.common import EXTENSION_NAMESPACE, Representation, View
from stratuslab.core.contracts import MachineTombstone


class MachineTombstoneRepresentation(
    Representation, kw_only=True, tag=f"{EXTENSION_NAMESPACE}/MachineTombstone"
):
    """A machine that was deleted. Its id ends in the id that the machine had."""

    state: str
    vmid: int
    host: str = ""
    deleted: datetime | None = None


def represent(document: MachineTombstone, view: View) -> MachineTombstoneRepresentation:
    """The document as it is shown; the host is for administrators."""
    return MachineTombstoneRepresentation(
        state="Done",
        vmid=document.vmid,
        host=(document.host or "") if view.administrator else "",
        deleted=document.deleted,
    )
