"""How the folders of checkpoints are called."""

import re

REPLACED = ".replaced"
_NAME = re.compile(rf"^step-(\d{{1,18}})({re.escape(REPLACED)})?$")


def checkpoint_name(step: int) -> str:
    """The folder of the checkpoint of a step."""
    return f"step-{step:08d}"


def checkpoint_step(name: str) -> int | None:
    """The step of a checkpoint's folder, one that was being replaced too; None for another name."""
    found = _NAME.match(name)
    return int(found[1]) if found else None
