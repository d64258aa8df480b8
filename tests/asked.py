"""What waits for a run's worker."""

from core.control_file import ControlRequest, read_request, waiting
from core.run_dir import RunDir


def asked_of(run: RunDir) -> list[ControlRequest]:
    """The requests that wait, in the order they were asked in; fails for what is none."""
    found = [read_request(run.control_folder / name) for name in waiting(run.control_folder)]
    return [request for request in found if request is not None]
