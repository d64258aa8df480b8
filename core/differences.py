"""The names of what may differ on a resume; ``--allow`` takes them. Light, for the command line."""

from core.errors import UsageError

CONFIG = "config-changed"
DATA = "data-changed"
VALIDATION = "validation-changed"
MODEL = "model-changed"
SETUP = "setup-changed"
ORDER = "order-changed"
VERSIONS = "versions-changed"
DEVICE = "device-changed"
PROCESSES = "processes-changed"
UNREADABLE = "contract-unreadable"
NAMES = (
    CONFIG,
    DATA,
    VALIDATION,
    MODEL,
    SETUP,
    ORDER,
    VERSIONS,
    DEVICE,
    PROCESSES,
    UNREADABLE,
)
ALLOW = "--allow="


def allowed_in(arguments: list[str]) -> frozenset[str]:
    """The names after ``--allow=``; raises UsageError with the list for one that isn't known."""
    given = [one.removeprefix(ALLOW) for one in arguments if one.startswith(ALLOW)]
    allowed = frozenset(name for one in given for name in one.split(","))
    if unknown := sorted(allowed - {*NAMES}):
        raise UsageError(f"--allow: needs names out of {', '.join(NAMES)}, not {unknown[0]!r}")
    return allowed
