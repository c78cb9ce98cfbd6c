"""The document store: a port with several adapters and one contract."""

from stratuslab.core.store.base import (
    Change,
    Insert,
    KeyPage,
    OutboxEntry,
    Page,
    Put,
    Query,
    Remove,
    Replace,
    Revision,
    Store,
    Stored,
    StoreIdentity,
    Write,
)

__all__ = [
    "Change",
    "Insert",
    "KeyPage",
    "OutboxEntry",
    "Page",
    "Put",
    "Query",
    "Remove",
    "Replace",
    "Revision",
    "Store",
    "StoreIdentity",
    "Stored",
    "Write",
]
