"""Who owns what a request makes, and which grants a caller may write."""

from __future__ import annotations

from datetime import datetime

from stratuslab.cimi_api.model.attributes import Body, apply_common, stored_acl
from stratuslab.cimi_api.plan import Caller
from stratuslab.core.documents import Acl, Document, Right, Rule
from stratuslab.core.documents.frame import ANY_USER
from stratuslab.core.errors import Forbidden


def frame(
    document: Document, caller: Caller, body: Body, *, at: datetime, shared: bool = False
) -> None:
    """Fills in the frame of a new document: it belongs to the caller.

    `shared`: what an administrator makes may be seen by every user, unless an ACL is given.
    Raises Forbidden.
    """
    document.created = at
    document.owner = caller.user_id
    document.acl = Acl(caller.principal)
    if shared and caller.administrator:
        document.acl.rules.append(Rule(ANY_USER, "VIEW"))
    apply_common(document, body, at=at)
    grant(document, caller, body)


def grant(document: Document, caller: Caller, body: Body) -> None:
    """Gives the document the ACL of the body, if there is one and the caller may.

    Only who has every right may change it; only an administrator may give it another owner, who
    is then charged for it. Raises Forbidden.
    """
    if body.acl is None or document.acl.right_of(caller.principals) < Right.ALL:
        return
    wanted = stored_acl(body.acl)
    if wanted.owner != document.acl.owner:
        if not caller.administrator:
            raise Forbidden(
                f"acl.owner is {wanted.owner}, but only an administrator may change an owner.",
                hint=f"Leave it at {document.acl.owner}.",
            )
        kind, _, id = wanted.owner.partition("/")
        document.owner = id if kind == "user" else document.owner
    document.acl = wanted
