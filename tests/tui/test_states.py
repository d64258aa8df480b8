"""States that are not sunny: what the banner says of each, at both usual sizes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH, Story, setup, training_story, worker_of
from tui_troubles import VOIDED, checkpoint_of, newer_event, out_of_memory

from core.events import Finished, Tuned
from core.hardware.nvml import Card
from core.run_dir import RunDir
from core.train.cards.health import xid_end_words
from kocr_tui.app import ConsoleApp

GIB = 2**30
SIZES = [(80, 24), (120, 40)]
at_both_sizes = pytest.mark.parametrize("size", SIZES)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks around a run as often as it is read."""
    monkeypatch.setattr("kocr_tui.reading.surroundings.LOOK_SECONDS", 0.0)


async def banner_shows(
    run: RunDir, size: tuple[int, int], *texts: str, language: str = "en", late: float = 1000
) -> str:
    """What is on the screen once the texts are; they must not be cut."""
    app = ConsoleApp(run.path.parent, run.id, language, clock=lambda: EPOCH + late)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, *texts))
        return screen_text(app)


@at_both_sizes
async def test_a_dead_worker_shows_why_and_offers_to_resume(
    runs: Path, size: tuple[int, int]
) -> None:
    story = training_story(runs)
    story.run.log_file.write_text("Traceback\nRuntimeError: out\x1b[0m of luck\n")
    await banner_shows(
        story.run,
        size,
        "gone without a last word",
        "RuntimeError: out␛[0m of luck",
        "r resumes (checkpoint of step 100 is kept)",
    )


@at_both_sizes
async def test_a_slow_worker_is_told_from_a_dead_one(runs: Path, size: tuple[int, int]) -> None:
    story = training_story(runs)
    with worker_of(story.run) as pid:
        story.run.heartbeat_file.unlink()
        await banner_shows(
            story.run, size, f"Slow: process {pid} lives", "a aborts; the checkpoint is kept."
        )


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("driver 570.86 → 580.10", "torch 2.12.0", "It is proved anew")),
        ("ko", ("드라이버 570.86 → 580.10", "torch 2.12.0 → 2.13.0", "다시 확인합니다")),
    ],
)
async def test_a_voided_certificate_says_what_changed_until_it_is_tuned_anew(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = Story(runs)
    story.start()
    story.put(VOIDED)
    story.state("tuning")
    app = ConsoleApp(runs, story.run.id, language, clock=lambda: EPOCH + 1000)
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, *texts))
            story.put(Tuned(choice=setup(), probes=4, reused=False, why=()))
            await until(pilot, lambda: texts[-1] not in screen_text(app))


async def test_a_voided_certificate_stays_in_the_log(runs: Path) -> None:
    story = Story(runs)
    story.start()
    story.put(VOIDED)
    story.tune()
    story.train(3)
    with worker_of(story.run):
        app = ConsoleApp(runs, story.run.id, "en", clock=lambda: EPOCH + 1000)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, shows(pilot, "step 3/400"))
            app.screen.query_one("#pane-6").focus()
            await pilot.press("f")
            await until(pilot, shows(pilot, "no longer holds: driver 570.86 → 580.10"))


@at_both_sizes
async def test_memory_that_ran_out_is_told_for_a_while_and_then_only_in_the_log(
    runs: Path, size: tuple[int, int]
) -> None:
    story = training_story(runs)
    story.put(out_of_memory(118), out_of_memory(121))
    now = [story.now]
    app = ConsoleApp(runs, story.run.id, "en", clock=lambda: now[0])
    told = "Out of memory in step 121, recovered (times in this run: 2)."
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, told, "hold 3,104 tokens from here on, not 6,208"))
            for number in range(121, 142):
                story.step(number)
            await until(pilot, shows(pilot, "step 141/400", told))
            now[0] += 301
            await until(pilot, lambda: told not in screen_text(app))


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        (
            "en",
            (
                "A GPU error ended the run: NVIDIA L4 (GPU 0): Xid 79",
                "restart the",
                "r checks the GPU, then resumes (checkpoint of step 100 is kept)",
            ),
        ),
        (
            "ko",
            (
                "GPU 오류로 학습이 끝났습니다: NVIDIA L4 (GPU 0): Xid 79",
                "restart the",
                "r: GPU 점검 후 이어하기 (100 스텝 체크포인트",
            ),
        ),
    ],
)
async def test_a_run_that_lost_its_gpu_says_what_to_do(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = training_story(runs)
    message = xid_end_words(Card(index=0, name="NVIDIA L4"), 79)
    story.put(Finished(state="failed", exit_code=4, message=message, step=120))
    await banner_shows(story.run, size, *texts, language=language)


class LostCard:
    """NVML on a box whose card has fallen off the bus."""

    def __enter__(self) -> "LostCard":
        return self

    def __exit__(self, *_reason: object) -> None:
        pass

    def cards(self) -> list[Card]:
        return [Card(name="NVIDIA [b]RTX[/b] 4090", lost=True)]


@at_both_sizes
@pytest.mark.usefixtures("at_once")
async def test_a_card_that_is_lost_is_told_before_the_worker_knows(
    runs: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kocr_tui.reading.run_watch.Monitor", LostCard)
    story = training_story(runs)
    with worker_of(story.run):
        await banner_shows(
            story.run, size, "no longer reaches NVIDIA [b]RTX[/b] 4090", "then r resumes."
        )


@at_both_sizes
@pytest.mark.parametrize(
    ("free", "language", "texts"),
    [
        (3.5, "en", ("Disk nearly full: 3.50 GiB free; a checkpoint takes 2.00 GiB.", "Make room")),
        (1.0, "en", ("✗ Disk full: 1.00 GiB free, but a checkpoint takes 2.00 GiB",)),
        (3.5, "ko", ("디스크 부족: 남은 공간 3.50 GiB", "2.00 GiB가 듭니다.", "비우세요")),
        (1.0, "ko", ("✗ 디스크 가득 참: 남은 공간 1.00 GiB", "2.00 GiB 필요")),
    ],
)
async def test_a_disk_that_fills_up_is_told_in_time(
    runs: Path,
    size: tuple[int, int],
    free: float,
    language: str,
    texts: tuple[str, ...],
    leave_room: Callable[[int], None],
) -> None:
    story = training_story(runs)
    checkpoint_of(story.run, 2 * GIB)
    leave_room(int(free * GIB))
    with worker_of(story.run):
        await banner_shows(story.run, size, *texts, language=language)


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("Written by a newer kocr-tui; some of it may be missing here.", "Update")),
        ("ko", ("더 새로운 kocr-tui가 만든 학습입니다.", "업데이트하세요")),
    ],
)
@pytest.mark.parametrize("where", ["events", "config"])
async def test_a_run_of_a_newer_version_is_shown_and_said_to_be_one(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...], where: str
) -> None:
    story = training_story(runs)
    if where == "events":
        newer_event(story.run)
    else:
        config = story.run.config_file
        config.write_text(config.read_text() + "\n[teleport]\nwhere = 1\n")
    with worker_of(story.run):
        await banner_shows(story.run, size, "120/400", *texts, language=language)


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("The config can't be read:", "not valid TOML", "once the file is mended.")),
        ("ko", ("설정 파일을 읽을 수 없습니다:", "파일을 고쳐야")),
    ],
)
async def test_a_config_that_cannot_be_read_is_named_and_the_run_shown(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = training_story(runs)
    story.run.config_file.write_text("name = [")
    with worker_of(story.run):
        await banner_shows(story.run, size, "120/400", *texts, language=language)


@at_both_sizes
async def test_a_run_deleted_under_ones_eyes_is_gone(runs: Path, size: tuple[int, int]) -> None:
    story = training_story(runs)
    app = ConsoleApp(runs, story.run.id, "ko", clock=lambda: EPOCH + 1000)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, shows(pilot, "말없이 종료"))
        shutil.rmtree(story.run.path)
        await until(pilot, shows(pilot, "폴더가 없어졌습니다. esc를 누르면"))


async def test_three_lines_at_80_by_24_are_the_most_urgent_ones(
    runs: Path, leave_room: Callable[[int], None]
) -> None:
    story = training_story(runs)
    leave_room(GIB)
    story.run.log_file.write_text("first\nlast words\n")
    story.put(VOIDED, out_of_memory(121))
    shown = await banner_shows(story.run, (80, 24), "✗ The worker is gone", "│ last words")
    assert "Disk nearly full" not in shown
    assert "no longer holds" not in shown
    shown = await banner_shows(story.run, (120, 40), "│ first", "r resumes", "no longer holds")
