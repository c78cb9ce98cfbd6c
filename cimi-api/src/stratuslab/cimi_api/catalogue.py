"""Configurations, images, templates and credentials: the checks before they are written.

Each function applies a body's own attributes to a document and returns what else has to be
written with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from stratuslab.cimi_api.expansion import readable
from stratuslab.cimi_api.model import (
    credential,
    machine_configuration,
    machine_image,
    machine_template,
)
from stratuslab.cimi_api.plan import Caller, Cloud
from stratuslab.cimi_api.ports import sealed
from stratuslab.core.contracts import (
    CREDENTIAL,
    MACHINE_CONFIGURATION,
    MACHINE_IMAGE,
    SECRET,
    Credential,
    MachineConfiguration,
    MachineImage,
    MachineTemplate,
)
from stratuslab.core.store import Insert, Remove, Replace, Write


async def write_configuration(
    _cloud: Cloud,
    _caller: Caller,
    document: MachineConfiguration,
    body: machine_configuration.MachineConfigurationBody,
    _was: MachineConfiguration | None,
) -> Sequence[Write]:
    """A size of machine."""
    machine_configuration.apply(document, body)
    return ()


async def write_image(
    cloud: Cloud,
    caller: Caller,
    document: MachineImage,
    body: machine_image.MachineImageBody,
    was: MachineImage | None,
) -> Sequence[Write]:
    """An image whose location is allowed. Raises InvalidRequest or Forbidden."""
    if was is None or was.location != body.image_location:
        body.image_location = machine_image.check_location(
            body.image_location,
            administrator=caller.administrator,
            folders=cloud.image_folders,
            attribute="imageLocation",
        )
    machine_image.apply(document, body)
    return ()


async def write_credential(
    _cloud: Cloud,
    _caller: Caller,
    document: Credential,
    body: credential.CredentialBody,
    _was: Credential | None,
) -> Sequence[Write]:
    """A credential whose keys can be used. Raises InvalidRequest."""
    credential.apply(document, body)
    return ()


async def write_template(
    cloud: Cloud,
    caller: Caller,
    document: MachineTemplate,
    body: machine_template.MachineTemplateBody,
    was: MachineTemplate | None,
) -> Sequence[Write]:
    """A template whose references the caller may use; its user data goes into a secret."""
    machine_template.apply(document, body)
    if document.configuration.id is not None:
        id, where = document.configuration.id, "machineConfig.href"
        await readable(cloud, caller, MACHINE_CONFIGURATION, id, where)
    if document.image.id is not None:
        await readable(cloud, caller, MACHINE_IMAGE, document.image.id, "machineImage.href")
    if document.credential is not None and document.credential.id is not None:
        await readable(cloud, caller, CREDENTIAL, document.credential.id, "credential.href")
    before = was.image.location if was is not None else None
    if document.image.location is not None and document.image.location != before:
        document.image.location = machine_image.check_location(
            document.image.location,
            administrator=caller.administrator,
            folders=cloud.image_folders,
            attribute="machineImage.imageLocation",
        )
    if body.user_data is UNSET:
        return ()
    return await _write_user_data(cloud, document, body.user_data)


async def _write_user_data(
    cloud: Cloud, document: MachineTemplate, text: str | None
) -> Sequence[Write]:
    data = machine_template.decoded_user_data(text, "userData") if text else None
    present = await cloud.store.find(SECRET, document.id)
    document.has_user_data = data is not None
    if data is None:
        return (Remove(present),) if present is not None else ()
    secret = sealed(cloud.vault, document.id, data, document.updated)
    return (Replace(present, secret),) if present is not None else (Insert(secret),)


async def remove_template_secret(cloud: Cloud, document: MachineTemplate) -> Sequence[Write]:
    """The template's user data goes with it."""
    if not document.has_user_data:
        return ()
    present = await cloud.store.find(SECRET, document.id)
    return (Remove(present),) if present is not None else ()
