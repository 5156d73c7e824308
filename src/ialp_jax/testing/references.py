"""Where the file that a test class names lies."""

import sys
from pathlib import Path


def located(reference: str, owner: type) -> str:
    """A name as it is; the path of a `.py` file absolute: from the folder of the test class, or else the current one."""
    if not reference.endswith(".py"):
        return reference
    file = getattr(sys.modules.get(owner.__module__), "__file__", None)
    beside = Path(file).parent / reference if file else Path(reference)
    return str((beside if beside.is_file() else Path(reference)).resolve())
