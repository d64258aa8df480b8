"""The worker itself: its start, its states, its data and model, its last word."""

from typing import Literal

from core.events.base import Event, Request, State


class WorkerStarted(Event, frozen=True, kw_only=True, tag="worker-started"):
    """A worker took the run; ``attempt`` counts from 1, and is 2 or more on a resume.

    ``device`` is the kind (cuda or cpu), ``card`` its name for people; ``cards`` are the UUIDs of
    those that it holds, the leader's own first. A worker that is there ``tune_only`` leaves before
    training.
    """

    pid: int
    attempt: int
    device: str
    card: str
    profile: str
    capacity_bytes: int
    versions: dict[str, str]
    tune_only: bool = False
    cards: tuple[str, ...] = ()


class StateChanged(Event, frozen=True, kw_only=True, tag="state"):
    """The run entered a state."""

    state: State


class DataOpened(Event, frozen=True, kw_only=True, tag="data"):
    """Rows that can be trained on, and rows set aside."""

    train_rows: int
    validation_rows: int
    set_aside: int


class RowSetAside(Event, frozen=True, kw_only=True, tag="row-set-aside"):
    """A row that won't be used, and why; ``row`` counts lines from 1.

    ``replaced_by`` is the row that was taken for it, where that was found out in training.
    """

    file: str
    row: int
    reason: str
    replaced_by: int | None = None


class ModelOpened(Event, frozen=True, kw_only=True, tag="model"):
    """The base model: where from, at which commit of the hub, and how its weights are held."""

    path: str
    revision: str | None
    model_type: str
    weights: str
    compute: str
    weight_bytes: int


class RequestSeen(Event, frozen=True, kw_only=True, tag="request"):
    """The worker has read a request (core.control_file) and obeys it."""

    id: str
    request: Request


class Log(Event, frozen=True, kw_only=True, tag="log"):
    """A line for people."""

    level: Literal["info", "warning", "error"]
    message: str


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """The worker leaves; nothing follows until a resume.

    ``asked`` is the request that it obeys by that, None where it wasn't asked to leave this way.
    """

    state: State
    exit_code: int
    message: str
    step: int = 0
    asked: Request | None = None
