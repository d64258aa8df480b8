"""The training view's pure parts: window, braille, strips, lists, photos, processes."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from core.events import Prediction
from core.hardware.nvml import Card, Process
from core.hardware.nvml.throttle import throttle_words
from kocr_tui.look.braille import BrailleGrid
from kocr_tui.reading.card_reading import CardReader, CardReading, HostReader, Wanted
from kocr_tui.reading.photo import PhotoError, half_cells, read_photo
from kocr_tui.strings import LANGUAGES, table, use_language
from kocr_tui.views.chart_window import SHORTEST_STEPS, ChartWindow
from kocr_tui.views.prediction_list import PredictionList
from kocr_tui.widgets.card import throttle_name
from kocr_tui.widgets.chart import log_ticks, ticks, within
from kocr_tui.widgets.lines import changed_columns
from kocr_tui.widgets.loss import log_limits, without_giants
from kocr_tui.widgets.strip import in_columns
from kocr_tui.widgets.throughput import split_legend

CHANGES = [
    ChartWindow.zoomed_in,
    ChartWindow.zoomed_out,
    ChartWindow.earlier,
    ChartWindow.later,
]


def test_a_window_zooms_at_the_newest_step_and_follows_it() -> None:
    window = ChartWindow().zoomed_in(400)
    assert window.span(400) == (200, 400)
    assert window.span(410) == (210, 410)
    assert window.zoomed_in(400).span(400) == (300, 400)
    assert window.zoomed_out(400) == ChartWindow()


def test_a_window_that_was_moved_stays_until_it_is_at_the_end_again() -> None:
    window = ChartWindow().zoomed_in(400).earlier(400)
    assert window.span(400) == window.span(500) == (150, 350)
    assert window.zoomed_in(400).span(400) == (200, 300)
    assert window.later(400).span(500) == (300, 500)


@given(
    st.lists(st.tuples(st.sampled_from(CHANGES), st.floats(0, 1e6)), max_size=20),
    st.floats(0, 1e6),
)
def test_a_window_is_always_within_the_run(
    changes: list[tuple[object, float]], last: float
) -> None:
    window = ChartWindow()
    for change, step in changes:
        window = change(window, step)  # type: ignore[operator]
    start, end = window.span(last)
    assert 0 <= start < end <= max(2.0, last)
    assert window.length is None or window.length >= SHORTEST_STEPS


def test_braille_draws_ends_and_breaks() -> None:
    grid = BrailleGrid(4, 2, (0, 10), (0, 1))
    grid.draw([(0, 0), (10, 1)], "red")
    assert grid.cell(0, 1) != (" ", "")
    assert grid.cell(3, 0)[1] == "red"
    assert grid.cell(3, 1) == (" ", "")
    broken = BrailleGrid(4, 1, (0, 10), (0, 1))
    broken.draw([(0, 0), (5, math.nan), (10, 0)], "red")
    assert [broken.cell(column, 0)[0] for column in range(4)] == ["⡀", " ", " ", "⢀"]


def test_values_fall_into_columns_and_gaps_are_filled() -> None:
    assert in_columns([(0, 0.1), (4, 0.2), (5, 0.7), (20, 1)], (0, 10), 5) == [
        0.1, 0.1, 0.7, None, None,
    ]  # fmt: skip
    assert in_columns([], (0, 10), 2) == [None, None]


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0.3, 3, [0.5, 1, 2]),
        (0.001, 1000, [10.0**power for power in range(-3, 4)]),
        (0.61, 0.68, 3),
    ],
)
def test_logarithmic_ticks_are_round_and_enough(
    low: float, high: float, marks: list[float] | int
) -> None:
    found = log_ticks(low, high, 7)
    assert found == pytest.approx(marks) if isinstance(marks, list) else len(found) >= marks
    assert all(low * 0.999 <= mark <= high * 1.001 for mark in found)


def test_ticks_begin_with_the_window() -> None:
    assert ticks(430, 4, start=210) == [300, 400]


def test_points_of_a_window_keep_a_neighbour_on_either_side() -> None:
    points = [(float(x), 0.0) for x in range(10)]
    assert [x for x, _y in within(points, 3, 5)] == [2, 3, 4, 5, 6]
    assert [x for x, _y in within(points, 0, 99)] == list(range(10))
    assert within([], 0, 1) == []


def test_the_first_giants_are_cut_and_logarithms_have_room() -> None:
    losses = [(0.0, 900.0), *((float(step), 1.0) for step in range(1, 100))]
    assert max(y for _x, y in without_giants(losses)) == 1.0
    low, high = log_limits([0.5, 0.5])
    assert low < math.log10(0.5) < high


def strip(*pieces: tuple[str, str]) -> Strip:
    return Strip([Segment(text, Style.parse(style)) for text, style in pieces])


def test_only_the_columns_that_differ_are_found() -> None:
    before = strip(("loss ", "none"), ("0.524", "bold"), (" 끝", "none"))
    assert (
        changed_columns(before, strip(("loss ", "none"), ("0.524", "bold"), (" 끝", "none")))
        is None
    )
    assert changed_columns(
        before, strip(("loss ", "none"), ("0.534", "bold"), (" 끝", "none"))
    ) == (8, 9)
    assert changed_columns(
        before, strip(("loss ", "none"), ("0.524", "none"), (" 끝", "none"))
    ) == (5, 10)
    assert changed_columns(before, strip(("loss", "none"))) == (4, 13)
    assert changed_columns(strip(("가나다", "none")), strip(("가마다", "none"))) == (2, 4)


def prediction(row: int, similarity: float, exact: bool = False) -> Prediction:
    return Prediction(
        row=row, image="a.jpg", truth="a", reply="b", exact=exact, normalized=exact,
        similarity=similarity,
    )  # fmt: skip


def test_misses_are_distinct_rows_by_their_newest_prediction() -> None:
    kept = [prediction(1, 10), prediction(2, 50), prediction(3, 100, exact=True), prediction(1, 70)]
    predictions = PredictionList()
    predictions.take(kept)
    assert [one.similarity for one in predictions.shown] == [70, 100, 50, 10]
    predictions.switch()
    assert [(one.row, one.similarity) for one in predictions.shown] == [(2, 50), (1, 70)]


def test_the_cursor_keeps_to_its_prediction_and_to_the_list() -> None:
    kept = [prediction(1, 10), prediction(2, 50)]
    predictions = PredictionList()
    predictions.take(kept)
    predictions.move(-3)
    assert predictions.cursor == 0
    predictions.move(9)
    assert predictions.cursor == 1
    predictions.take([*kept, prediction(3, 20)])
    assert predictions.shown[predictions.cursor] is kept[0]
    predictions.take([prediction(3, 20)])
    assert predictions.cursor == 0
    predictions.take([])
    predictions.move(1)
    assert predictions.cursor == 0


def test_half_cells_are_two_pixels_high() -> None:
    image = Image.new("RGB", (2, 3), "#ff0000")
    image.putpixel((0, 1), (0, 0, 255))
    rows = half_cells(image)
    assert [row.plain for row in rows] == ["▀▀", "▀▀"]
    assert str(rows[0].spans[0].style) == "#ff0000 on #0000ff"


def test_a_photo_is_turned_as_its_exif_says_and_fits(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4000, 1000), "green").save(tmp_path / "a.jpg", exif=exif)
    rows = read_photo(str(tmp_path / "a.jpg"), 30, 20)
    assert len(rows) == 20
    assert {row.cell_length for row in rows} == {10}


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    rows = read_photo(str(tmp_path / "a.png"), 4, 2)
    assert {str(span.style) for row in rows for span in row.spans} == {"#ffffff on #ffffff"}


@pytest.mark.parametrize("name", ["gone.jpg", "folder", "pipe"])
def test_what_is_no_file_is_gone(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PhotoError) as error:
        read_photo(str(tmp_path / name), 4, 2)
    assert error.value.gone


def test_half_a_photo_is_broken(tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 50).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PhotoError) as error:
        read_photo(str(tmp_path / "a.png"), 4, 2)
    assert not error.value.gone


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_throttle_reason_is_told_in_the_language(language: str) -> None:
    use_language(language)
    reasons = throttle_words(0x7FF)
    assert len(reasons) >= 10
    for reason in reasons:
        assert throttle_name(reason) in table(language).values()
    assert throttle_name("reason 0x4000") == "reason 0x4000"


class TwoCards:
    """NVML with two cards of one name; the process 5 is on the second."""

    reason = None

    def cards(self) -> list[Card]:
        return [Card(uuid=uuid, name="RTX 4090") for uuid in ("GPU-1", "GPU-2")]

    def card(self, uuid: str) -> Card:
        return Card(uuid=uuid, name="RTX 4090", used_bytes=10)

    def processes(self, uuid: str) -> list[Process]:
        return [Process(pid=5, used_bytes=7)] if uuid == "GPU-2" else [Process(pid=6)]

    def xid_errors(self, _uuid: str) -> None:
        return None


def test_the_card_is_the_one_on_which_the_worker_is() -> None:
    reader = CardReader(TwoCards())  # type: ignore[arg-type]
    early = reader.read(Wanted(4, on_card=True, card_name="RTX 4090"))
    assert early.card is not None
    assert early.card.uuid == "GPU-1"
    found = reader.read(Wanted(5, on_card=True, card_name="RTX 4090"))
    assert found.card is not None
    assert found.card.uuid == "GPU-2"
    assert found.others == ()
    assert found.others_bytes(reserved=1) == 3


def test_a_worker_that_tells_its_card_is_taken_at_its_word() -> None:
    reader = CardReader(TwoCards())  # type: ignore[arg-type]
    found = reader.read(Wanted(4, on_card=True, card_name="RTX 4090", uuid="GPU-2"))
    assert found.card is not None
    assert found.card.uuid == "GPU-2"
    assert [one.pid for one in found.others] == [5]


def test_what_others_hold_is_guessed_where_processes_are_hidden() -> None:
    reading = CardReading(card=Card(used_bytes=10), mine=Process(pid=5))
    assert reading.others_bytes(reserved=4) == 6
    assert CardReading().others_bytes(reserved=4) is None


def test_the_host_tells_of_a_process_and_of_none() -> None:
    reader = HostReader()
    first = reader.read(os.getpid())
    assert first.worker_bytes is not None
    assert first.worker_bytes > 1 << 20
    assert first.worker_percent is None
    second = reader.read(os.getpid())
    assert second.worker_percent is not None
    assert second.worker_percent >= 0
    assert reader.read(None).worker_bytes is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_legend_of_times_fits_a_pane_of_eighty_columns(language: str) -> None:
    use_language(language)
    assert split_legend([1, 34, 41, 1, 23, 0], 38).cell_length <= 39
