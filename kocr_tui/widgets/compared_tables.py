"""The tables below the curves: scores with their verdict, what the runs cost, where they differ."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.strings import say
from kocr_tui.views import comparison_scores as scoring
from kocr_tui.views.comparison import (
    LETTERS,
    Compared,
    Stage,
    names,
    reads_other_photos,
    seconds_of,
)
from kocr_tui.views.comparison_scores import Rank
from kocr_tui.widgets import ink
from kocr_tui.widgets.compared_chart import COLOURS
from kocr_tui.widgets.compared_curves import state_words
from kocr_tui.widgets.compared_differences import difference_lines
from kocr_tui.widgets.lines import Lines
from kocr_tui.widgets.paragraph import Paragraph

# Parts with sentences, which are broken where they are too long; the others have rows that fit.
SENTENCES = {"notes", "newest"}
SCORE_COLUMNS = 18
COUNT_COLUMNS = 7
LEAST_NAME_COLUMNS = 7
MOST_NAME_COLUMNS = 40
MARKS: dict[Rank, tuple[str, str]] = {
    "": ("  ", ""),
    "best": ("△ ", "bold"),
    "apart": ("▲ ", "bold $success"),
}
Rows = list[Content]
Cell = tuple[str, str]


@dataclass(frozen=True)
class Column:
    """A column of a table: its width, a text and a style a run, and whether it may be left out."""

    name: str
    columns: int
    cells: list[Cell]
    needed: bool = True

    @property
    def head(self) -> str:
        """The name of the column, in the language in use."""
        known = self.name in scoring.MEASURES
        return say(f"measure.{self.name}" if known else f"compare.column.{self.name}")


class TablesPane(VerticalScroll):
    """Scrolls by ↑ and ↓; each part is drawn where it differs from what is on the screen."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(id="compare-tables", classes="compare-pane")
        self._clock = clock
        self._runs: tuple[Compared, ...] = ()

    def compose(self) -> ComposeResult:
        for name in PARTS:
            part = f"compare-{name}"
            yield Paragraph("", id=part, markup=False) if name in SENTENCES else Lines(part)

    def on_mount(self) -> None:
        self.border_title = say("compare.tables")
        for part in self.children:
            part.display = False

    def on_resize(self) -> None:
        self.show(self._runs)

    def show(self, runs: tuple[Compared, ...]) -> None:
        """Brings the tables up to date."""
        self._runs = runs
        columns = self.scrollable_content_region.width
        if not runs or not columns:
            return
        now = self._clock()
        for name, lines in PARTS.items():
            self._show_part(name, lines(runs, columns, now))

    def _show_part(self, name: str, rows: Rows) -> None:
        part = self.query_one(f"#compare-{name}")
        part.display = bool(rows)
        if isinstance(part, Lines):
            part.show_rows(rows)
        elif isinstance(part, Paragraph) and part.content != (content := ink.lines(rows)):
            part.update(content)


def note_lines(runs: Sequence[Compared], _columns: int, _now: float) -> Rows:
    """What is wrong with a run, and what that means for comparing it."""
    lines: Rows = []
    for letter, run in zip(LETTERS, runs, strict=False):
        if run.gone:
            lines.append(_warning(say("compare.note.gone", letter=letter)))
        if run.problem:
            problem = fmt.visible(run.problem)
            lines.append(_warning(say("compare.note.config", letter=letter, problem=problem)))
        if run.trouble:
            trouble = fmt.visible(run.trouble)
            lines.append(_warning(say("compare.note.trouble", letter=letter, trouble=trouble)))
        if run.unread:
            lines.append(_warning(say("compare.note.unread", letter=letter, count=run.unread)))
    if reads_other_photos(runs):
        lines.append(_warning(say("compare.note.photos")))
    return [*lines, Content("")] if lines else []


def newest_lines(runs: Sequence[Compared], columns: int, _now: float) -> Rows:
    """The scores down to the stage that all runs have come to, and the verdict on that."""
    deciding = scoring.deciding_stage(runs)
    lines: Rows = []
    for stage in newest_stages(runs):
        lines += _stage_block(runs, stage, columns)
        lines += _verdicts(runs, stage) if stage == deciding else []
        lines.append(Content(""))
    if not lines:
        return [Content(say("compare.no_scores")), Content("")]
    return [*lines[:-1], ink.line((say("compare.marks"), "$text-muted")), Content("")]


def earlier_lines(runs: Sequence[Compared], columns: int, _now: float) -> Rows:
    """The scores of the stages before those."""
    newest = newest_stages(runs)
    lines: Rows = []
    for stage in scoring.STAGES:
        if stage not in newest and any(stage in run.stages for run in runs):
            lines += [*_stage_block(runs, stage, columns), Content("")]
    return lines[:-1]


def newest_stages(runs: Sequence[Compared]) -> list[Stage]:
    """The stages down to the one that decides, or the latest of any run where none does."""
    found = [stage for stage in scoring.STAGES if any(stage in run.stages for run in runs)]
    deciding = scoring.deciding_stage(runs)
    return found[: found.index(deciding) + 1] if deciding else found[:1]


def cost_lines(runs: Sequence[Compared], room: int, now: float) -> Rows:
    """State and step of each run, its speed, memory and time."""
    rates = scoring.best_ranks([run.rate for run in runs], larger=True)
    peaks = scoring.best_ranks([run.peak_bytes for run in runs], larger=False)
    columns = [
        Column("state", 15, [_state(run) for run in runs], needed=False),
        Column("progress", 13, [_plain(_progress(run)) for run in runs]),
        Column("rate", 12, [_marked(*one) for one in zip(rates, map(_rate, runs), strict=True)]),
        Column("peak", 12, [_marked(*one) for one in zip(peaks, map(_peak, runs), strict=True)]),
        Column("seconds", 10, [_plain(fmt.duration(seconds_of(run, now))) for run in runs]),
    ]
    return [*_table(say("compare.cost"), runs, columns, room), Content("")]


def _stage_block(runs: Sequence[Compared], stage: Stage, room: int) -> Rows:
    columns = []
    for measure in scoring.MEASURES:
        scores = scoring.stage_scores(runs, stage, measure)
        texts = map(fmt.percent, scores)
        cells = [_marked(*one) for one in zip(scoring.score_ranks(scores), texts, strict=True)]
        columns.append(Column(measure, SCORE_COLUMNS, cells))
    found = [run.stages.get(stage) for run in runs]
    counts = [f"{one.scores.n:,}" if one else fmt.NOTHING for one in found]
    steps = [f"{one.step:,}" if one else fmt.NOTHING for one in found]
    columns.append(Column("n", COUNT_COLUMNS, [_plain(text) for text in counts], needed=False))
    columns.append(Column("step", COUNT_COLUMNS, [_plain(text) for text in steps], needed=False))
    return _table(say(f"compare.stage.{stage}"), runs, columns, room)


def _verdicts(runs: Sequence[Compared], stage: Stage) -> Rows:
    """A sentence a measure, and a word of caution where the scores are of different steps."""
    lines: Rows = []
    for measure in scoring.MEASURES:
        found = scoring.verdict(scoring.stage_scores(runs, stage, measure))
        if found is not None:
            lines.append(ink.line(("  · ", "$text-muted"), scoring.sentence(measure, found)))
    if stage == "rolling" and len({run.stages[stage].step for run in runs}) > 1:
        lines.append(ink.line(("  · " + say("compare.other_steps"), "$text-muted")))
    return lines


def _table(title: str, runs: Sequence[Compared], columns: list[Column], room: int) -> Rows:
    """A row a run; the title goes above the heads where a column of names has no room for it."""
    if sum(column.columns for column in columns) + LEAST_NAME_COLUMNS > room:
        columns = [column for column in columns if column.needed]
    taken = sum(column.columns for column in columns)
    name_columns = max(2, min(MOST_NAME_COLUMNS, room - taken))
    heads = "".join(fmt.pad("  " + column.head, column.columns) for column in columns)
    above = fmt.width(title) >= name_columns
    lines = [ink.line((title, "bold $primary"))] if above else []
    first = fmt.pad("" if above else title, name_columns)
    lines.append(ink.line((first, "bold $primary"), (heads, "$text-muted")))
    for index, name in enumerate(names(runs)):
        cells = [
            (fmt.pad(text, one.columns), style)
            for one in columns
            for text, style in [one.cells[index]]
        ]
        lines.append(ink.line(*_name(index, name, name_columns), *cells))
    return lines


def _name(index: int, name: str, columns: int) -> list[ink.Piece]:
    letter = f"{LETTERS[index]} "
    shown = fmt.pad(fmt.pad(name, columns - fmt.width(letter) - 1), columns - fmt.width(letter))
    return [(letter, f"bold ${COLOURS[index]}"), shown]


def _marked(rank: Rank, text: str) -> Cell:
    mark, style = MARKS[rank]
    return mark + text, style


def _plain(text: str) -> Cell:
    return _marked("", text)


def _state(run: Compared) -> Cell:
    mark, word, style = state_words(run)
    return f"  {mark} {word}", f"${style}"


def _progress(run: Compared) -> str:
    return f"{run.step:,}/{run.steps:,}" if run.steps else fmt.NOTHING


def _rate(run: Compared) -> str:
    return fmt.rate(run.rate)


def _peak(run: Compared) -> str:
    return fmt.size(run.peak_bytes)


def _warning(text: str) -> Content:
    return ink.line(("! " + text, "bold $warning"))


PARTS: dict[str, Callable[[Sequence[Compared], int, float], Rows]] = {
    "notes": note_lines,
    "newest": newest_lines,
    "differences": lambda runs, columns, _now: [*difference_lines(runs, columns), Content("")],
    "costs": cost_lines,
    "earlier": earlier_lines,
}
