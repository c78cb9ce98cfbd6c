"""The page of settings: every section and key, its variable, default and bounds."""

from __future__ import annotations

from typing import Any

import msgspec

from stratuslab.core.reference.field_docs import first_paragraph
from stratuslab.core.reference.markdown import code, table
from stratuslab.core.settings import Settings, settings_classes
from stratuslab.core.settings.declaration import Declaration, declared, expected, variable

INTRODUCTION = """# Settings

A value comes from the first of these that has it:

1. the environment variable;
2. the TOML file named by `STRATUSLAB_CONFIG`, else `/etc/stratuslab/stratuslab.toml`; one file
   serves all services of a machine, each has a section;
3. for `store` only: `/etc/stratuslab/couchbase.cfg` of an older cloud;
4. the default.

A key, section or variable that no service knows is an error, and so is a value out of bounds:
the service does not start and says all that is wrong in one line. `stratuslab config show` tells
what each value is and where it comes from; secrets are masked. Units are part of the names.

```toml
[common]
log_level = "debug"

[vm-agent]
image_folders = ["/srv/images"]
```

"""


def settings_page() -> str:
    """The page."""
    return INTRODUCTION + "\n".join(_section(each) for each in settings_classes())


def _section(section: type[Settings]) -> str:
    rows = [
        (
            code(name),
            code(variable(section.section, name)),
            _kind(declaration),
            "" if declaration.setting.secret else code(_written(declaration.default)),
            declaration.setting.doc + (" Secret." if declaration.setting.secret else ""),
        )
        for name, declaration in declared(section).items()
    ]
    listed = table(("Key", "Environment", "Value", "Default", "Meaning"), rows)
    return f"## [{section.section}]\n\n{first_paragraph(section)}\n\n{listed}".rstrip("\n") + "\n"


def _kind(declaration: Declaration) -> str:
    least, most = declaration.setting.minimum, declaration.setting.maximum
    bounds = " to ".join(f"{each:,.10g}" for each in (least, most) if each is not None)
    if least is not None and most is None:
        bounds = f"at least {bounds}"
    return ", ".join(part for part in (expected(declaration.type), bounds) if part)


def _written(default: Any) -> str:
    if default in ("", ()):
        return ""
    return msgspec.json.encode(default).decode()
