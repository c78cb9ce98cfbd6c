"""Idempotency keys: the same request again gets the same answer and does nothing.

The key is claimed in the same atomic group as what the request writes, so of any number of
simultaneous duplicates exactly one is carried out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from stratuslab.cimi_api.plan import Caller, Plan
from stratuslab.core.claims import claim, is_void
from stratuslab.core.contracts import CLAIM, Claim
from stratuslab.core.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotFound
from stratuslab.core.store import Store

KEPT_SECONDS = 24 * 3600.0

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request made: enough to answer it again."""

    fingerprint: str
    kind: str
    id: str
    job: str


@dataclass(frozen=True)
class Once:
    """A request with an idempotency key."""

    claim_id: str
    fingerprint: str

    def record(self, plan: Plan, kind: str) -> Claim:
        """The claim to be written with the plan."""
        answer = Answer(self.fingerprint, kind, plan.document.id, plan.job.id)
        return claim(
            self.claim_id,
            f"{kind}/{plan.document.id}",
            payload=msgspec.json.encode(answer).decode(),
            keep_seconds=KEPT_SECONDS,
        )

    async def recall(self, store: Store) -> Answer | None:
        """The answer of the earlier request with this key, if there was one.

        Raises IdempotencyMismatch when that was another request.
        """
        stored = await store.find(CLAIM, self.claim_id)
        if stored is None:
            return None
        if await is_void(store, stored.document):
            try:
                await store.remove(stored)
            except (Conflict, NotFound):
                return await self.recall(store)
            return None
        answer = msgspec.json.decode(stored.document.payload, type=Answer)
        if answer.fingerprint != self.fingerprint:
            raise IdempotencyMismatch(
                "This Idempotency-Key was used before with another request.",
                hint="Use a new key for a new request.",
            )
        return answer


def once(key: str | None, caller: Caller, request: str, body: bytes) -> Once | None:
    """The request with this key, if it has one; `request` is its method and path.

    Keys of different users never meet. Raises InvalidRequest.
    """
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequest(
            "Idempotency-Key must be 1 to 255 printable ASCII characters without blanks.",
            hint="A UUID is a good key.",
        )
    fingerprint = blake2b(request.encode() + b"\0" + body, digest_size=16).hexdigest()
    hashed = blake2b(key.encode(), digest_size=16).hexdigest()
    return Once(f"idempotency/{caller.user_id}/{hashed}", fingerprint)
