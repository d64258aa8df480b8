"""Which runs the home screen lists, in which order, and what it costs to keep them up to date."""

import threading
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from textual.message import Message
from tui_story import EPOCH, Story, training_story

from core.evaluate.text import Score
from core.events import State
from core.run_dir import RunDir, rename_run
from kocr_tui import format as fmt
from kocr_tui.messages import RunsListed
from kocr_tui.reading.folder_watch import follow_folder
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.views.run_list import ORDERS, in_order, matching, next_order, to_compare
from kocr_tui.views.run_row import RowMaker, RunRow
from kocr_tui.widgets.runs_table import cell_of, column_widths, head_of

WIDTHS = (60, 70, 78, 80, 96, 100, 115, 120, 145, 160, 185, 200)


def row(run_id: str, name: str, state: State, right: int | None, speed: float | None) -> RunRow:
    return RunRow(
        id=run_id,
        name=name,
        state=state,
        slow=False,
        model="Qwen2-VL-2B-Instruct",
        data="signs/train",
        step=5,
        steps=10,
        samples_per_s=speed,
        eta_s=None,
        normalized=None if right is None else Score.of(right, 10),
        updated_at=None,
        profile="rtx4090",
    )


ROWS = (
    row("3", "나비", "training", 5, 2.0),
    row("2", "가방", "done", 9, None),
    row("1", "Shop", "died", None, 8.0),
)


def ids(rows: tuple[RunRow, ...]) -> str:
    return "".join(row.id for row in rows)


@pytest.mark.parametrize(
    ("order", "wanted"),
    [("newest", "321"), ("name", "123"), ("state", "312"), ("accuracy", "231"), ("speed", "132")],
)
def test_each_order_puts_first_what_it_names(order: str, wanted: str) -> None:
    (chosen,) = [one for one in ORDERS if one == order]
    assert ids(in_order(reversed(ROWS), chosen)) == wanted


def test_orders_go_around() -> None:
    order = ORDERS[0]
    seen = []
    for _ in ORDERS:
        seen.append(order)
        order = next_order(order)
    assert tuple(seen) == ORDERS
    assert order == ORDERS[0]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("", "321"),
        ("shop", "1"),
        (unicodedata.normalize("NFD", "가방"), "2"),
        ("QWEN", "321"),
        ("rtx4090 done", "2"),
        ("signs/train died", "1"),
        ("shop done", ""),
    ],
)
def test_every_word_must_be_somewhere(words: str, wanted: str) -> None:
    use_language("en")
    assert ids(matching(ROWS, words)) == wanted


def test_states_are_found_by_their_name_in_the_language_in_use() -> None:
    use_language("ko")
    assert ids(matching(ROWS, "완료")) == "2"
    assert ids(matching(ROWS, "done")) == ""
    use_language("en")
    assert ids(matching(ROWS, "done")) == "2"


def test_what_is_compared() -> None:
    listed = ["a", "b", "c"]
    assert to_compare(listed, "a", ["c", "b"]) == ["c", "b"]
    assert to_compare(listed, "a", []) == ["a", "b"]
    assert to_compare(listed, "c", []) == ["c", "b"]
    assert to_compare(listed, "b", ["a"]) == ["a", "b"]
    assert to_compare(listed, "a", ["a"]) == ["a", "b"]
    assert to_compare(["a"], "a", []) == ["a"]
    assert to_compare([], None, []) == []


def test_long_names_are_cut_in_the_middle() -> None:
    assert fmt.cut_middle("signs-2b-r16-lr1e-4", 11) == "signs…r1e-4"
    assert fmt.cut_middle("강남대로-간판-첫째", 10) == "강남…-첫째"
    assert fmt.cut_middle("short", 5) == "short"
    for columns in range(12):
        assert fmt.width(fmt.cut_middle("강남대로-간판-첫째", columns)) <= columns


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("table", WIDTHS)
def test_columns_fit_the_table_and_their_heads(table: int, language: str) -> None:
    use_language(language)
    widths = column_widths(table)
    assert sum(columns + 1 for columns in widths.values()) + 2 <= table
    assert widths["run"] >= (12 if table >= 80 else 8)
    for order in ORDERS:
        heads = [head_of(name, columns, order, 0) for name, columns in widths.items()]
        assert sum("▼" in head for head in heads) == (table >= 78 or order != "speed")
        for head, columns in zip(heads, widths.values(), strict=True):
            assert fmt.width(head) <= columns


def test_figures_are_never_cut() -> None:
    use_language("en")
    long = replace(ROWS[0], step=123_456, steps=1_000_000, normalized=Score.of(10, 10))
    widths = column_widths(80)
    assert cell_of(long, "progress", 0, widths["progress"]).plain == "  12.3 %"
    assert cell_of(long, "progress", 0, 14).plain == "123456/1000000"
    assert cell_of(long, "accuracy", 0, widths["accuracy"]).plain == "100.0 [72–100]"


def test_the_best_accuracy_is_the_one_that_chose_nothing(runs: Path) -> None:
    story = Story(runs)
    story.start()
    maker = RowMaker(story.run)
    assert maker.row().normalized is None
    story.validated(0, "baseline", 90, 100)
    assert maker.row().normalized is None
    seen = []
    for scope, right in (("rolling", 50), ("rolling", 40), ("selection", 70), ("final", 60)):
        story.validated(10, scope, right, 100, best=True)  # type: ignore[arg-type]
        now = maker.row()
        assert now.normalized is not None
        seen.append((now.scope, now.normalized.value))
    assert seen == [("rolling", 0.5), ("rolling", 0.4), ("selection", 0.7), ("final", 0.6)]


def test_a_row_knows_start_profile_and_data(runs: Path) -> None:
    story = training_story(runs)
    found = RowMaker(story.run).row()
    assert found.started_at == EPOCH
    assert (found.profile, found.data) == ("rtx4090", "signs/train")


def test_a_run_that_has_ended_is_not_read_again(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = training_story(runs)
    story.finish("stopped", "checkpoint saved", 120)
    maker = RowMaker(story.run)
    before = maker.row()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_args: pytest.fail("opened"))
        patch.setattr(Path, "read_text", lambda *_args, **_more: pytest.fail("read"))
        assert maker.row() is before
    rename_run(story.run, "renamed")
    assert maker.row() == replace(before, name="renamed")
    story.start()
    assert maker.row().state == "died"


def test_a_long_run_is_kept_as_a_row_and_not_as_its_steps(runs: Path) -> None:
    story = training_story(runs)
    maker = RowMaker(story.run)
    assert maker.row().step == 120
    assert len(maker._watch.state.steps) == 1
    assert len(maker._watch.state.rolling) <= 2
    assert not maker._watch.state.predictions


def listed_once(folder: Path) -> list[RunsListed]:
    """What is posted until the first whole list."""
    posted: list[RunsListed] = []
    stop = threading.Event()

    def post(message: Message) -> None:
        assert isinstance(message, RunsListed)
        posted.append(message)
        if not message.unread:
            stop.set()

    seen = threading.Event()
    seen.set()
    follow_folder(folder, stop, seen, post)
    return posted


def test_rows_appear_while_others_are_still_read(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        Story(runs, f"run-{number}").start()
    monkeypatch.setattr("kocr_tui.reading.folder_watch.PART_SECONDS", 0.0)
    posted = listed_once(runs)
    assert [(len(one.rows), one.unread) for one in posted] == [(1, 2), (2, 1), (3, 0)]


def test_a_run_that_cannot_be_read_hides_no_other(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Story(runs, "bad").start()
    Story(runs, "good").start()
    really = RowMaker.row

    def fail(maker: RowMaker) -> RunRow:
        found = really(maker)
        if found.name == "bad":
            raise OSError("stale file handle")
        return found

    monkeypatch.setattr(RowMaker, "row", fail)
    assert [row.name for row in listed_once(runs)[-1].rows] == ["good"]


def test_run_of_unreadable_config_is_listed_by_its_id(runs: Path) -> None:
    folder = RunDir(runs / "by-hand")
    folder.path.mkdir(parents=True)
    folder.config_file.write_text("[[[")
    (found,) = listed_once(runs)[-1].rows
    assert (found.name, found.started_at) == ("by-hand", None)
