"""The lines of the banner without a screen, and the look around a run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tui_story import EPOCH, Story
from tui_troubles import GIB, checkpoint_of, out_of_memory

from core.config import DataConfig, ModelConfig, RunConfig
from core.events import CertificateVoided, Change, Remedy
from core.hardware.nvml import Card
from core.run_dir import RunDir
from kocr_tui import format as fmt
from kocr_tui.reading.surroundings import (
    LEAST_FREE_BYTES,
    Lookout,
    LowDisk,
    Surroundings,
    low_disk,
    no_cards,
)
from kocr_tui.strings import use_language
from kocr_tui.views.notice import Notice
from kocr_tui.views.notices import notices
from kocr_tui.views.run_view import Pulse, RunView
from kocr_tui.widgets.banner import MOST_ROWS, MOST_ROWS_LOW, banner_rows

CONFIG = RunConfig(
    name="signs",
    model=ModelConfig(path="m"),
    data=DataConfig(train="a", validation="b"),
)


def test_room_is_enough_from_two_checkpoints_and_two_gib_on(
    runs: Path, leave_room: Callable[[int], None]
) -> None:
    run = Story(runs).run
    leave_room(LEAST_FREE_BYTES)
    assert low_disk(run) is None
    leave_room(LEAST_FREE_BYTES - 1)
    low = low_disk(run)
    assert low is not None
    assert not low.is_full
    checkpoint_of(run, 3 * GIB)
    leave_room(6 * GIB)
    assert low_disk(run) is None
    leave_room(6 * GIB - 1)
    low = low_disk(run)
    assert low is not None
    assert not low.is_full
    leave_room(3 * GIB - 1)
    assert low_disk(run) == LowDisk(3 * GIB - (64 << 20), 3 * GIB)


def troubled_views(run: RunDir) -> Iterator[RunView]:
    """A view for each trouble by itself, with the longest values to be expected."""
    changes = tuple(
        Change(name=name, before="570.86.10", now="580.105.08")
        for name in ("driver", "versions.torch", "versions.transformers", "lora.rank")
    )
    remedies: tuple[Remedy, ...] = ("halve", "recompute", "wait")
    events = [CertificateVoided(changes=changes), *(out_of_memory(1234, one) for one in remedies)]
    for event in events:
        view = RunView(run, CONFIG, EPOCH)
        view.take([event], Pulse("training"))
        yield view
    disks = (LowDisk(1000 << 20, 1 << 20), LowDisk(1 << 20, 900 << 20), LowDisk(GIB, 0))
    around = [Surroundings(disk=disk) for disk in disks]
    around += [Surroundings(newer_config=True), Surroundings(lost_cards=("NVIDIA RTX 4090",))]
    for one in around:
        view = RunView(run, CONFIG, EPOCH)
        view.take([], Pulse("training", around=one))
        yield view
    view = RunView(run, CONFIG, EPOCH)
    view.take([], Pulse("training", slow=True, heartbeat_age=4000, pid=4_194_304))
    yield view


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_trouble_is_cut_at_80_columns(runs: Path, language: str) -> None:
    use_language(language)
    try:
        for view in troubled_views(Story(runs).run):
            [notice] = notices(view)
            rows = [row.plain for row in banner_rows([notice], 78, MOST_ROWS_LOW)]
            assert all(fmt.width(row) <= 78 for row in rows)
            assert not any("…" in row for row in rows), rows
            assert notice.remedy.split()[-1] in rows[-1]
    finally:
        use_language("en")


def test_a_long_headline_is_folded_once_and_details_give_way_to_the_remedy() -> None:
    long = Notice("error", "✗", "간판 " * 60, ("a", "b"), "r resumes")
    rows = [row.plain for row in banner_rows([long, long], 40, 4)]
    assert [fmt.width(row) <= 40 for row in rows] == [True] * 4
    assert rows[0].startswith("✗ 간판")
    assert rows[1].endswith("…")
    assert rows[2:] == ["  │ b", "  r resumes"]


def test_cards_are_read_anew_only_every_ten_seconds(runs: Path) -> None:
    run, now, reads = Story(runs).run, [0.0], [0]

    def read() -> list[Card]:
        reads[0] += 1
        return [Card(name="A", lost=True), Card(name="B")]

    lookout = Lookout(run, clock=lambda: now[0])
    assert lookout.look(no_cards).lost_cards == ()
    now[0] = 9.9
    assert lookout.look(read).lost_cards == ()
    now[0] = 10.0
    assert lookout.look(read).lost_cards == ("A",)
    lookout.look(read)
    assert reads == [1]


@pytest.mark.parametrize(
    ("tail", "hints"),
    [
        ((), True),
        (("probe 3", "step 12"), True),
        (("Traceback", "RuntimeError: out of luck"), False),
        (("Fatal Python error: Segmentation fault",), False),
    ],
)
def test_a_death_without_a_reason_says_where_the_kernel_tells(
    runs: Path, tail: tuple[str, ...], hints: bool
) -> None:
    view = RunView(Story(runs).run, CONFIG, EPOCH)
    view.take([], Pulse("died", log_tail=tail))
    [notice] = notices(view)
    rows = [row.plain for row in banner_rows([notice], 78, MOST_ROWS)]
    assert any("journalctl -k" in row for row in rows) == hints
    assert not any("…" in row for row in rows)
    low = [row.plain for row in banner_rows([notice], 78, MOST_ROWS_LOW)]
    assert not any("journalctl" in row for row in low)
    assert "r resumes" in low[-1]
