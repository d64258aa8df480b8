"""What workers tell the screens; news that only says "look again" collapses to the newest."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message

from kocr_tui.views.run_row import RunRow

if TYPE_CHECKING:
    from kocr_tui.reading.card_reading import CardReading
    from kocr_tui.reading.data_audit import RowsState
    from kocr_tui.reading.live_plan import PlanState
    from kocr_tui.reading.model_list import KnownModel
    from kocr_tui.views.comparison import Compared


class Newest(Message, bubble=False):
    """A message that makes an older, unread one of its kind pointless."""

    def can_replace(self, message: Message) -> bool:
        return type(message) is type(self)


class RunNews(Newest):
    """There is something new about the watched run; the watch holds it."""


@dataclass
class RunsListed(Newest):
    """The runs of the folder that have been read, newest first; ``unread`` are still to come."""

    rows: tuple[RunRow, ...]
    unread: int = 0


@dataclass
class RunsCompared(Newest):
    """The runs that are compared, in the order of their letters."""

    runs: "tuple[Compared, ...]"


@dataclass
class CardRead(Newest):
    """One line about the card, or about there being none."""

    line: str
    found: bool


@dataclass
class RunCardRead(Newest):
    """The card that the watched run is on, or its share of the host."""

    reading: "CardReading"


@dataclass
class PhotoRead(Message, bubble=False):
    """A photo in half cells, or the line that says why it can't be shown.

    ``key`` is its path, and the columns and rows that it was read for.
    """

    key: tuple[str, int, int]
    picture: list[Content]


@dataclass
class Launched(Message):
    """A worker was started on a run."""

    run_id: str


@dataclass
class LaunchFailed(Message):
    """A run could not be made or started, and why."""

    reason: str


@dataclass
class RunMeasured(Message):
    """What deleting a run would take from the disk: bytes, and how many checkpoints."""

    run_id: str
    size: int
    checkpoints: int


@dataclass
class RunRenamed(Message):
    """A run has another name."""

    run_id: str
    name: str


@dataclass
class RunDeleted(Message):
    """A run is gone from the disk."""

    run_id: str


@dataclass
class ChangeFailed(Message):
    """A run could not be renamed or deleted, and why."""

    reason: str


@dataclass
class TextSaved(Message):
    """What to tell about text that was to be written to a file."""

    told: str
    failed: bool


@dataclass
class PlanNews(Newest):
    """Where the plan of the form's choices stands."""

    state: "PlanState"


@dataclass
class RowsNews(Message, bubble=False):
    """Where the look at a file of rows stands."""

    state: "RowsState"

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowsNews) and message.state.path == self.state.path


@dataclass
class CardNamed(Newest):
    """One line about the card that ``auto`` stands for."""

    line: str


@dataclass
class ModelsFound(Newest):
    """The models that a run could begin from."""

    models: "tuple[KnownModel, ...]"


@dataclass
class ConfigSaved(Message, bubble=False):
    """A config was written to a file, or ``reason`` says why not."""

    path: str
    reason: str | None = None
    exists: bool = False
