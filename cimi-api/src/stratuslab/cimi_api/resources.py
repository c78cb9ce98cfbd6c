"""The table of resources: one entry says all about a type that the generic handlers need.

Adding a resource: one module in `model/`, its checks if it has any, one entry here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from stratuslab.cimi_api import accounts, catalogue, job_control, machines
from stratuslab.cimi_api.model import (
    credential,
    job,
    machine,
    machine_configuration,
    machine_image,
    machine_parts,
    machine_template,
    machine_tombstone,
    user,
)
from stratuslab.cimi_api.model.attributes import ActionBody, Body
from stratuslab.cimi_api.model.common import (
    ACTION,
    EXTENSION_NAMESPACE,
    Operation,
    Representation,
    View,
    collection_name,
    complete,
)
from stratuslab.cimi_api.plan import Caller, Cloud, Plan
from stratuslab.core.contracts import (
    CREDENTIAL,
    JOB,
    MACHINE,
    MACHINE_CONFIGURATION,
    MACHINE_IMAGE,
    MACHINE_TEMPLATE,
    MACHINE_TOMBSTONE,
    USER,
)
from stratuslab.core.contracts.machine_states import MachineAction
from stratuslab.core.documents import Document, Kind, Right
from stratuslab.core.documents.frame import ADMINISTRATOR, ANY_USER
from stratuslab.core.store import Write

D = TypeVar("D", bound=Document)

CONSOLE_LOG = "consoleLog"


class Writer(Protocol):
    """Applies a body's own attributes to a document (new when `was` is None).

    Returns what else has to be written with it.
    """

    def __call__(
        self, cloud: Cloud, caller: Caller, document: Any, body: Any, was: Any, /
    ) -> Awaitable[Sequence[Write]]: ...


Creator = Callable[[Cloud, Caller, Any], Awaitable[Plan]]
Editor = Callable[[Cloud, Caller, Any, Any], Awaitable[Plan]]
Remover = Callable[[Cloud, Caller, Any], Awaitable[Plan]]
Actor = Callable[[Cloud, str, Any, ActionBody], Awaitable[Plan]]


@dataclass(frozen=True)
class Resource(Generic[D]):
    """One type of resource.

    `rights` is the rule of every operation: the least right that a caller needs on the resource
    itself; `add` the role that may create one, None for nobody. What is not listed cannot be
    done. `offered` narrows it by the state of the document.
    """

    kind: Kind[D]
    entry_point: str
    """The attribute of the CloudEntryPoint that names the collection."""
    representation: type[Representation]
    represent: Callable[[D, View], Representation]
    rights: Mapping[str, Right]
    add: str | None = None
    offered: Callable[[D], frozenset[str]] | None = None
    body: type[Body] | None = None
    """The attributes a client may write."""
    body_of: Callable[[D], Body] | None = None
    create_body: type[Body] | None = None
    """Where it differs: the body of `add`."""
    unpack: Callable[[Any], Body] | None = None
    """Makes a `body` out of a `create_body`."""
    new: Callable[[str, Any], D] | None = None
    """A bare document with this id, out of the body."""
    write: Writer | None = None
    shared: bool = False
    """What an administrator adds may be seen by every user."""
    create: Creator | None = None
    """Instead of `new` and `write`: plans a creation that takes time."""
    edit: Editor | None = None
    delete: Remover | None = None
    before_delete: Callable[[Cloud, D], Awaitable[Sequence[Write]]] | None = None
    """Checks that it may go; returns what goes with it."""
    act: Actor | None = None
    parts: tuple[machine_parts.Part, ...] = ()
    filters: Mapping[str, str] = field(default_factory=dict)
    """Attributes that lists may be filtered by → declared fields of the kind."""
    volatile: bool = False
    """It changes without anyone writing to it, which its ETag does not tell."""

    @cached_property
    def type_uri(self) -> str:
        """The type URI, also of each item of the collection."""
        return str(self.representation.__struct_config__.tag)

    @property
    def type_name(self) -> str:
        """E.g. `Machine`."""
        return self.type_uri.rpartition("/")[2]

    @cached_property
    def collection(self) -> str:
        """Last part of the collection's URI and name of the array of its items."""
        return collection_name(self.kind.name)

    @property
    def actions(self) -> tuple[str, ...]:
        """Operations that are POSTed to a URI of their own."""
        return tuple(sorted(set(self.rights) - {"edit", "delete", CONSOLE_LOG}))

    def allowed(self, document: D, right: Right) -> list[str]:
        """The operations that this right gives on this document now."""
        offered = self.offered(document) if self.offered else self.rights
        return [name for name, least in self.rights.items() if right >= least and name in offered]

    def shown(self, document: D, view: View) -> Representation:
        """The complete representation of a document."""
        representation = self.represent(document, view)
        complete(representation, document, self.kind.name, view)
        representation.operations = [
            operation(name, representation.id) for name in self.allowed(document, view.right)
        ]
        return representation


def operation(name: str, uri: str) -> Operation:
    """How a resource at this URI offers an operation."""
    if name in {"add", "edit", "delete"}:
        return Operation(name, uri)
    prefix = EXTENSION_NAMESPACE if name == CONSOLE_LOG else ACTION
    return Operation(f"{prefix}/{name}", f"{uri}/{name}")


_EDIT_AND_DELETE = {"edit": Right.MODIFY, "delete": Right.MODIFY}

TABLE: tuple[Resource[Any], ...] = (
    Resource(
        kind=MACHINE,
        entry_point="machines",
        representation=machine.MachineRepresentation,
        represent=machine.represent,
        rights=_EDIT_AND_DELETE
        | dict.fromkeys((each.value for each in MachineAction), Right.MODIFY)
        | {CONSOLE_LOG: Right.MODIFY},
        add=ANY_USER,
        offered=machine.offered,
        body=machine.MachineBody,
        body_of=machine.body_of,
        create_body=machine_template.MachineCreate,
        create=machines.create,
        edit=machines.edit,
        delete=machines.delete,
        act=machines.act,
        parts=machine_parts.PARTS,
        filters={"name": "name", "state": "state", "vmid": "vmid", "host": "host"},
        volatile=True,
    ),
    Resource(
        kind=MACHINE_TEMPLATE,
        entry_point="machineTemplates",
        representation=machine_template.MachineTemplateRepresentation,
        represent=machine_template.represent,
        rights=_EDIT_AND_DELETE,
        add=ANY_USER,
        body=machine_template.MachineTemplateBody,
        body_of=machine_template.body_of,
        new=machine_template.new,
        write=catalogue.write_template,
        before_delete=catalogue.remove_template_secret,
        filters={"name": "name"},
    ),
    Resource(
        kind=MACHINE_CONFIGURATION,
        entry_point="machineConfigs",
        representation=machine_configuration.MachineConfigurationRepresentation,
        represent=machine_configuration.represent,
        rights=_EDIT_AND_DELETE,
        add=ANY_USER,
        body=machine_configuration.MachineConfigurationBody,
        body_of=machine_configuration.body_of,
        new=machine_configuration.new,
        write=catalogue.write_configuration,
        shared=True,
        filters={"name": "name", "cpu": "cpu", "memory": "memory"},
    ),
    Resource(
        kind=MACHINE_IMAGE,
        entry_point="machineImages",
        representation=machine_image.MachineImageRepresentation,
        represent=machine_image.represent,
        rights=_EDIT_AND_DELETE,
        add=ANY_USER,
        body=machine_image.MachineImageBody,
        body_of=machine_image.body_of,
        new=machine_image.new,
        write=catalogue.write_image,
        shared=True,
        filters={"name": "name", "state": "state"},
    ),
    Resource(
        kind=CREDENTIAL,
        entry_point="credentials",
        representation=credential.CredentialRepresentation,
        represent=credential.represent,
        rights=_EDIT_AND_DELETE,
        add=ANY_USER,
        body=credential.CredentialBody,
        body_of=credential.body_of,
        create_body=credential.CredentialCreate,
        unpack=credential.unpack,
        new=credential.new,
        write=catalogue.write_credential,
        filters={"name": "name"},
    ),
    Resource(
        kind=JOB,
        entry_point="jobs",
        representation=job.JobRepresentation,
        represent=job.represent,
        rights={"stop": Right.MODIFY, "delete": Right.MODIFY},
        offered=job.offered,
        act=job_control.stop,
        filters={"name": "name", "state": "state"},
        volatile=True,
    ),
    Resource(
        kind=USER,
        entry_point="users",
        representation=user.UserRepresentation,
        represent=user.represent,
        rights={"edit": Right.MODIFY, "delete": Right.ALL},
        add=ADMINISTRATOR,
        body=user.UserBody,
        body_of=user.body_of,
        new=user.new,
        write=accounts.write_user,
        before_delete=accounts.check_removal,
        filters={"name": "name"},
    ),
    Resource(
        kind=MACHINE_TOMBSTONE,
        entry_point="machineTombstones",
        representation=machine_tombstone.MachineTombstoneRepresentation,
        represent=machine_tombstone.represent,
        rights={},
        filters={"vmid": "vmid"},
    ),
)
