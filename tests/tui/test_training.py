"""The training view with a pilot: its panes, its keys, its photos, and how little it redraws."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, GIB, Story, training_story, worker_of

from core.evaluate.text import score
from core.events import Log, Predicted, Prediction
from core.hardware.nvml import Card, Process
from kocr_tui.app import ConsoleApp
from kocr_tui.screens.run import RunScreen
from kocr_tui.screens.training import TrainingView
from kocr_tui.widgets.chart import Chart
from kocr_tui.widgets.log import LogPane
from kocr_tui.widgets.loss import LossPane
from kocr_tui.widgets.photo import Photo
from kocr_tui.widgets.samples import SamplesPane

SIZES = [(80, 24), (120, 40), (200, 50)]


class OneCard:
    """NVML with one card, on which are a worker and somebody else."""

    reason: str | None = None
    worker_pid = 0

    def __enter__(self) -> "OneCard":
        return self

    def __exit__(self, *_reason: object) -> None:
        pass

    def cards(self) -> list[Card]:
        return [self.card("GPU-1")]

    def card(self, uuid: str) -> Card:
        return Card(
            uuid=uuid, name="RTX 4090", total_bytes=24 * GIB, used_bytes=20 * GIB,
            utilization_percent=97, temperature_c=71, power_w=342, power_limit_w=450,
            sm_clock_mhz=2520, sm_clock_max_mhz=3105, memory_clock_mhz=10501,
            throttle_reasons=("power cap", "too hot (hardware)"),
        )  # fmt: skip

    def processes(self, _uuid: str) -> list[Process]:
        return [
            Process(pid=self.worker_pid, used_bytes=18 * GIB, name="python"),
            Process(pid=7, used_bytes=2 * GIB, name="/usr/bin/jupy\x1bter"),
        ]

    def xid_errors(self, _uuid: str) -> list[int]:
        return [79]


class NoCards(OneCard):
    """NVML on a box without a driver."""

    reason = "no NVIDIA driver"


@pytest.fixture(autouse=True)
def _no_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kocr_tui.reading.card_watch.Monitor", NoCards)


@pytest.fixture
def story(runs: Path) -> Iterator[Story]:
    """A run in the middle of training, with a worker that lives."""
    told = training_story(runs)
    with worker_of(told.run):
        yield told


def app_of(story: Story, language: str = "en") -> ConsoleApp:
    return ConsoleApp(story.run.path.parent, story.run.id, language, clock=lambda: EPOCH + 1000)


def predict(story: Story, *signs: tuple[Path, str, str], first_row: int = 1) -> None:
    made = []
    for row, (photo, truth, reply) in enumerate(signs, start=first_row):
        one = score(truth, reply)
        made.append(
            Prediction(
                row=row, image=str(photo), truth=truth, reply=reply, exact=one.exact,
                normalized=one.normalized, similarity=one.similarity,
            )
        )  # fmt: skip
    story.put(
        Predicted(step=120, scope="rolling", done=1, total=9, predictions=tuple(made)),
    )


def chosen(pilot: Pilot[str]) -> str:
    """The line under the cursor."""
    lines = screen_text(pilot.app).splitlines()
    return next((line for line in lines if "▸" in line), "")


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_its_panes_within_the_screen(
    story: Story, size: tuple[int, int], language: str
) -> None:
    app = app_of(story, language)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "0.524", "70.0 %", "교보문고"))
        shown = {pane.number for pane in app.screen.query_one(TrainingView).visible_panes()}
        assert shown == ({1, 2, 3, 4, 5} if size[1] < 32 else {1, 2, 3, 4, 5, 6, 7})
        for pane in app.screen.query_one(TrainingView).visible_panes():
            assert pane.region.area
            assert app.screen.region.contains_region(pane.region)
            inner = pane.query("Lines, Chart, BarStrip")
            assert all(pane.region.contains_region(part.region) for part in inner if part.display)


@pytest.mark.action("pane")
async def test_digits_hide_and_show_panes_and_give_their_room_away(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "3 Loss", "7 Card"))
        before = app.screen.query_one(SamplesPane).size.height
        await pilot.press("3", "4")
        await until(pilot, lambda: "3 Loss" not in screen_text(app))
        await until(pilot, lambda: app.screen.query_one(SamplesPane).size.height > before)
        await pilot.press("3")
        await until(pilot, shows(pilot, "3 Loss", "0.524"))
        assert "4 Accuracy" not in screen_text(app)


async def test_the_low_screen_hides_log_and_card_until_their_digits(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "5 Truth"))
        assert "6 Log" not in screen_text(app)
        await pilot.press("6")
        await until(pilot, shows(pilot, "6 Log", "best checkpoint"))
        await pilot.press("7")
        await until(pilot, shows(pilot, "7 Card", "no NVIDIA driver"))
        await pilot.resize_terminal(120, 40)
        await until(pilot, shows(pilot, "6 Log", "7 Card"))


async def test_the_last_pane_stays(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "5 Truth"))
        await pilot.press("1", "2", "3", "4", "5")
        await until(pilot, shows(pilot, "The last pane stays", "5 Truth"))


async def test_tab_goes_through_the_panes_that_are_shown(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "5 Truth"))
        await pilot.press("2")
        await until(pilot, lambda: "2 Speed" not in screen_text(app))
        met = []
        for _ in range(4):
            await pilot.press("tab")
            met.append(app.focused.id if app.focused else None)
        assert set(met) == {"pane-1", "pane-3", "pane-4", "pane-5"}
        await pilot.press("shift+tab")
        assert app.focused is not None
        assert app.focused.id == met[-2]


@pytest.mark.action("maximize")
@pytest.mark.parametrize("key", ["f", "enter", "ㄹ"])
async def test_the_pane_in_focus_fills_the_screen_and_escape_restores(
    story: Story, key: str
) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "5 Truth"))
        app.screen.query_one(LossPane).focus()
        await pilot.press(key)
        await until(pilot, lambda: "5 Truth" not in screen_text(app))
        await until(pilot, shows(pilot, "3 Loss", "step 120/400"))
        await pilot.press("6")
        await until(pilot, shows(pilot, "row set aside: train.jsonl row 7: [b]empty[/b] label"))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "3 Loss", "5 Truth"))
        assert "6 Log" not in screen_text(app)
        assert isinstance(app.screen, RunScreen)


async def test_the_first_pane_fills_the_screen_where_none_is_in_focus(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "5 Truth"))
        await pilot.press("f")
        await until(pilot, lambda: "2 Speed" not in screen_text(app))
        await pilot.press("f")
        await until(pilot, shows(pilot, "1 Memory", "2 Speed"))


@pytest.mark.action("zoom_in", "zoom_out", "pan_left", "pan_right", "whole_chart")
async def test_charts_zoom_move_follow_and_show_all_again(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "0.524"))
        await pilot.press("plus")
        await until(pilot, shows(pilot, "steps 60–120, 0 shows all"))
        story.step(121)
        await until(pilot, shows(pilot, "steps 61–121"))
        await pilot.press("left")
        await until(pilot, shows(pilot, "steps 46–106"))
        story.step(122)
        await until(pilot, shows(pilot, "step 122/400", "steps 46–106"))
        await pilot.press("right", "right")
        await until(pilot, shows(pilot, "steps 62–122"))
        await pilot.press("equals_sign", "minus", "minus")
        await until(pilot, lambda: "shows all" not in screen_text(app))
        await pilot.press("plus", "0")
        await until(pilot, lambda: "shows all" not in screen_text(app))


async def test_both_charts_and_the_strip_share_the_window(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "0.524", "70.0 %"))
        whole = [chart.render().plain for chart in app.screen.query(Chart)]
        strip = app.screen.query_one("#memory-history").render()
        await pilot.press("plus")
        await until(pilot, shows(pilot, "steps 60–120"))
        zoomed = [chart.render().plain for chart in app.screen.query(Chart)]
        assert len(whole) == 2
        assert all(old != new for old, new in zip(whole, zoomed, strict=True))
        assert app.screen.query_one("#memory-history").render() != strip


@pytest.mark.action("log_scale")
async def test_the_loss_has_a_logarithmic_scale(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "0.524"))
        await pilot.press("l")
        await until(pilot, shows(pilot, "3 Loss · logarithmic"))
        await pilot.press("l")
        await until(pilot, lambda: "logarithmic" not in screen_text(app))


@pytest.mark.action("next_photo", "previous_photo")
async def test_the_cursor_moves_and_stays_on_its_prediction(story: Story, tmp_path: Path) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "교보문고" in chosen(pilot))
        await pilot.press("j")
        await until(pilot, lambda: "김밥천국" in chosen(pilot))
        predict(story, (tmp_path / "new.jpg", "행복약국", "행복약국"))
        await until(pilot, shows(pilot, "행복약국"))
        assert "김밥천국" in chosen(pilot)
        await pilot.press("k", "k", "k")
        await until(pilot, lambda: "행복약국" in chosen(pilot))
        predict(story, (tmp_path / "newer.jpg", "한솥도시락", "한솥도시락"), first_row=2)
        await until(pilot, lambda: "한솥도시락" in chosen(pilot))


@pytest.mark.action("misses")
async def test_the_worst_misses_come_first_when_asked(story: Story, tmp_path: Path) -> None:
    app = app_of(story)
    photo = tmp_path / "a.jpg"
    predict(story, (photo, "마왕족발", "가나다"), (photo, "원마트", "원마트"))
    predict(story, (photo, "마왕족발", "마왕족밥"))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "가나다"))
        await pilot.press("m")
        await until(pilot, shows(pilot, "worst misses of the last 9"))
        assert "교보문고" in screen_text(app) or "김밥천국" in screen_text(app)
        assert "가나다" not in screen_text(app)
        assert "✓" not in screen_text(app).split("5 Truth")[1]
        assert "마왕족밥" in screen_text(app)
        await pilot.press("m")
        await until(pilot, shows(pilot, "가나다"))


async def test_the_photo_of_the_chosen_prediction_is_shown(story: Story, tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "#c02040").save(tmp_path / "red.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    names = ("gone.jpg", "broken.jpg", "red.png")
    predict(story, *((tmp_path / name, name, name) for name in names))
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "▀▀▀▀"))
        spans = {str(span.style) for span in app.screen.query_one(Photo).render().spans}
        assert "#c02040 on #c02040" in spans
        await pilot.press("j")
        await until(pilot, shows(pilot, "the photo can't be read"))
        await pilot.press("j")
        await until(pilot, shows(pilot, "the photo is gone"))
        assert "▀" not in screen_text(app)


async def test_the_card_tells_of_load_heat_clocks_and_who_else_is_there(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = training_story(runs)
    with worker_of(told.run) as pid:
        monkeypatch.setattr(OneCard, "worker_pid", pid)
        monkeypatch.setattr("kocr_tui.reading.card_watch.Monitor", OneCard)
        app = app_of(told)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "97 %", "71 °C   342/450 W", "2,520/3,105"))
            await until(pilot, shows(pilot, "· slowed: power cap", "! slowed: too hot (hardware)"))
            await until(pilot, shows(pilot, "✗ Xid error 79 (fallen off the bus)"))
            await until(pilot, shows(pilot, "others 2.00 GiB jupy␛ter 2.00 GiB"))


async def test_on_the_cpu_the_card_pane_tells_of_load_and_worker(runs: Path) -> None:
    told = Story(runs)
    told.start("AMD EPYC", "cpu")
    told.tune()
    told.train(20)
    with worker_of(told.run):
        app = app_of(told)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "7 Card · AMD EPYC", f"/ {os.cpu_count()}"))
            await until(pilot, shows(pilot, "memory  ", " MiB", "worker"))


async def test_speed_tells_of_both_ends_and_of_validation(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "ETA 6m 04s → 16:10", "epoch 0.60/2"))
        await until(pilot, shows(pilot, "ends in 1m 44s → 16:06"))
        await until(pilot, shows(pilot, "█data 2", "▓vision 36", "░optimizer 4"))


async def test_the_log_scrolls_by_keys_when_it_is_in_focus(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "6 Log", "best checkpoint"))
        app.screen.query_one("#pane-6").focus()
        await pilot.press("home")
        await until(pilot, shows(pilot, "row set aside"))
        story.put(Log(level="info", message="the first new line"))
        log = app.screen.query_one("#pane-6", LogPane)
        await until(pilot, lambda: "the first new line" in log.plain_text())
        await pilot.pause()
        assert shows(pilot, "row set aside")()
        await pilot.press("end")
        await until(pilot, shows(pilot, "the first new line"))
        story.put(Log(level="info", message="the second new line"))
        await until(pilot, shows(pilot, "the second new line"))


async def test_a_step_repaints_few_cells_and_nothing_of_the_home_screen(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "0.524", "70.0 %", "the photo is gone"))
        sent: list[int] = []
        display = app._display

        def count(screen: Any, renderable: Any) -> None:
            spans = getattr(renderable, "spans", None)
            whole = app.size.width * app.size.height
            if renderable is not None:
                sent.append(sum(x2 - x1 for _y, x1, x2 in spans) if spans else whole)
            display(screen, renderable)

        monkeypatch.setattr(app, "_display", count)
        story.step(121)
        await until(pilot, shows(pilot, "step 121/400", "ETA 6m 03s"))
        sent.clear()
        story.step(122)
        await until(pilot, shows(pilot, "step 122/400", "ETA 6m 01s"))
        assert sent
        assert max(sent) < app.size.width * app.size.height // 6


@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("reading validation photos (baseline) 96/200", "begins with training",
                "after the first validation")),
        ("ko", ("검증 사진 읽는 중 (기준) 96/200", "학습이 시작되면", "첫 검증이 끝나면")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", SIZES)
async def test_the_baseline_says_how_far_it_is_and_what_panes_wait_for(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = Story(runs)
    story.start()
    story.tune()
    story.state("baseline")
    story.put(Predicted(step=0, scope="baseline", done=96, total=200, predictions=()))
    with worker_of(story.run):
        app = app_of(story, language)
        async with app.run_test(size=size) as pilot:
            await until(pilot, shows(pilot, *texts, "█"))
            assert "waiting…" not in screen_text(app)


async def test_the_final_pass_says_how_far_it_is_and_a_rolling_slice_does_not(story: Story) -> None:
    app = app_of(story)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, shows(pilot, "step 120/400"))
        story.state("validating")
        await until(pilot, shows(pilot, "◆ validating", "step 120/400"))
        story.put(Predicted(step=120, scope="final", done=16, total=200, predictions=()))
        await until(pilot, shows(pilot, "reading validation photos (final) 16/200"))
        story.validated(120, "final", 150, 200)
        story.finish("done", "trained 120 steps", 120)
        await until(pilot, shows(pilot, "✓ done", "step 120/400"))


@pytest.mark.parametrize("state", ["died", "stopped"])
async def test_a_run_that_is_over_shows_its_card_and_says_that_it_does_not_go_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    story = training_story(runs)
    if state == "stopped":
        story.finish("stopped", "stopped on request", 120)
    monkeypatch.setattr("kocr_tui.reading.card_watch.Monitor", OneCard)
    async with app_of(story).run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "71 °C", "342/450 W", "the run is not going on"))


async def test_a_run_that_ended_before_training_waits_for_nothing(runs: Path) -> None:
    story = Story(runs)
    story.state("queued")
    story.finish("failed", "no such model", 0)
    app = app_of(story)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, shows(pilot, "no such model"))
        await pilot.press("t")
        await until(pilot, shows(pilot, "nothing was recorded", "the run is not going on"))
        assert "waiting" not in screen_text(app)
        assert "begins with" not in screen_text(app)
