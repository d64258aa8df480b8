"""Faults of training: what the banner, the log, plain lines and `status` tell of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tui_pilot import screen_text, shows, until
from tui_story import GIB, Story, training_story, worker_of
from tui_troubles import RECOVERED, THROTTLED, checkpoint_of, rolled_back, save_failed

from core.events import (
    AnyEvent,
    CardTrouble,
    CheckpointSaved,
    Differed,
    Difference,
    LoaderDied,
    LossSpike,
    NotFinite,
    SaveFailed,
)
from core.run_state import RunState
from core.run_watch import watch
from kocr_tui import format as fmt
from kocr_tui.app import ConsoleApp
from kocr_tui.commands.status import line_of as status_line
from kocr_tui.faults import Level
from kocr_tui.plain import report
from kocr_tui.plain.follow import _Printer
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.views.fault_notices import TOLD_SECONDS
from kocr_tui.views.notices import notices
from kocr_tui.views.run_view import Pulse, RunView
from kocr_tui.views.story import line_of

SIZES = [(80, 24), (120, 40)]
at_both_sizes = pytest.mark.parametrize("size", SIZES)
HOSTILE = "간판\x1b[31m\n[b]x[/b]"
SAFE = "간판␛[31m␊[b]x[/b]"
FAULTS: tuple[tuple[AnyEvent, Level, str, str], ...] = (
    (
        Differed(differences=(Difference(name="driver", before="570\x1b", now="580"),)),
        "warning",
        "the run goes on although this is not as it was (allowed): driver 570␛ → 580",
        "허용된 차이가 있는 채로 계속합니다: 드라이버 570␛ → 580",
    ),
    (
        NotFinite(step=1200, what="loss", in_a_row=2, total=5),
        "warning",
        "step 1,200 skipped, its loss is not finite (in a row: 2, in this run: 5)",
        "1,200 스텝 건너뜀: 손실이 유한한 값이 아님 (연속 2번, 이 학습에서 5번)",
    ),
    (
        NotFinite(step=7, what="gradient", in_a_row=1, total=1),
        "warning",
        "step 7 skipped, its gradient is not finite (in a row: 1, in this run: 1)",
        "7 스텝 건너뜀: 기울기가 유한한 값이 아님 (연속 1번, 이 학습에서 1번)",
    ),
    (
        rolled_back(130, 100),
        "warning",
        "went back from step 130 to the checkpoint of step 100: 8 steps in a row were not finite",
        "130 스텝에서 100 스텝 체크포인트로 되돌아감: 8 steps in a row were not finite",
    ),
    (
        LossSpike(step=64, loss=9.125, usual=0.412),
        "warning",
        "loss of step 64 leaps to 9.12; 0.412 is usual",
        "64 스텝 손실 급등: 9.12 (평소 0.412)",
    ),
    (
        LoaderDied(step=64, message=HOSTILE),
        "warning",
        f"a process that loads photos died in step 64, its photos are loaded again: {SAFE}",
        f"64 스텝에서 사진을 읽는 프로세스가 죽어 그 사진들을 다시 읽음: {SAFE}",
    ),
    (
        SaveFailed(step=64, message=HOSTILE, free_bytes=0, retry_s=60),
        "error",
        f"checkpoint of step 64 not saved, training goes on, next try in 1m 00s: {SAFE}",
        f"64 스텝 체크포인트 저장 실패, 학습은 계속, 1m 00s 뒤 다시 시도: {SAFE}",
    ),
    (
        SaveFailed(step=1064, message=HOSTILE, free_bytes=0, retry_s=None),
        "error",
        f"checkpoint of step 1,064 not saved, the run ends without it: {SAFE}",
        f"1,064 스텝 체크포인트 저장 실패, 이 체크포인트 없이 학습을 끝냄: {SAFE}",
    ),
    (
        CardTrouble(what="lost", message=HOSTILE),
        "error",
        f"card lost: {SAFE}",
        f"GPU 연결 끊김: {SAFE}",
    ),
    (
        CardTrouble(what="xid", codes=(13,), message=HOSTILE),
        "warning",
        f"the driver tells of an error of the card: {SAFE}",
        f"드라이버가 GPU 오류를 알림: {SAFE}",
    ),
    (
        CardTrouble(what="memory-errors", message=HOSTILE),
        "warning",
        f"errors in the card's memory: {SAFE}",
        f"GPU 메모리 오류: {SAFE}",
    ),
    (
        CardTrouble(what="throttled", message=HOSTILE),
        "warning",
        f"card throttled: {SAFE}",
        f"GPU 속도 제한: {SAFE}",
    ),
    (
        CardTrouble(what="recovered", message=HOSTILE),
        "info",
        f"card no longer throttled: {SAFE}",
        f"GPU 속도 제한 풀림: {SAFE}",
    ),
)
LEVELS = {
    "en": {"info": "info", "warning": "warning", "error": "error"},
    "ko": {"info": "알림", "warning": "주의", "error": "오류"},
}


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    use_language("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_fault_is_one_line_of_the_log_and_of_plain_output(
    language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    for event, level, english, korean in FAULTS:
        line = line_of(event)
        assert line is not None
        assert (line.level, line.text) == (level, english if language == "en" else korean)
        _Printer("signs").show(event)
        assert capsys.readouterr().out == f"{LEVELS[language][level]}: {line.text}\n"


def test_faults_are_kept_as_long_as_they_matter(runs: Path) -> None:
    story = Story(runs)
    state = RunState()
    failed = save_failed(story.run, 10)
    for event in (THROTTLED, failed, NotFinite(step=3, what="loss", in_a_row=1, total=4)):
        state.apply(event)
    assert (state.faults.throttled, state.faults.save_failed) == (THROTTLED, failed)
    assert state.faults.skipped_steps == 4
    state.apply(CardTrouble(what="xid", codes=(13,), message="x"))
    assert state.faults.throttled == THROTTLED
    state.apply(CheckpointSaved(step=11, path="checkpoints/step-11", seconds=1, best=False))
    assert (state.faults.throttled, state.faults.save_failed) == (THROTTLED, None)
    state.apply(RECOVERED)
    assert state.faults.throttled is None


def test_a_new_worker_has_no_troubles_of_the_last_one(runs: Path) -> None:
    story = training_story(runs)
    story.put(save_failed(story.run, 120), THROTTLED, rolled_back(120, 100))
    story.start()
    faults = watch(story.run).state.faults
    assert (faults.save_failed, faults.throttled, faults.rollbacks) == (None, None, 1)


def test_scores_after_the_checkpoint_are_taken_back(runs: Path) -> None:
    story = training_story(runs)
    story.validated(110, "selection", 60, 64, best=True)
    story.put(rolled_back(120, 100))
    state = watch(story.run).state
    assert [scores.step for scores in state.rolling] == list(range(10, 101, 10))
    assert state.best is not None
    assert state.best.step == 100


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        (
            "en",
            (
                "✗ Checkpoint of step 120 can't be saved. Training goes on; next try in 50s.",
                "│ checkpoints: can't save the checkpoint of step 120: No space left",
                "Last good checkpoint: step 100.",
            ),
        ),
        (
            "ko",
            (
                "✗ 120 스텝 체크포인트 저장 실패. 학습은 계속됩니다. 50s 뒤 다시 시도합니다.",
                "마지막 정상 체크포인트: 100 스텝",
            ),
        ),
    ],
)
async def test_a_checkpoint_that_is_not_saved_stands_until_one_is(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = training_story(runs)
    story.put(save_failed(story.run, 120))
    now = [story.now + 10]
    app = ConsoleApp(runs, story.run.id, language, clock=lambda: now[0])
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, *texts))
            now[0] += 10_000
            soon = "next try soon" if language == "en" else "곧 다시 시도"
            await until(pilot, shows(pilot, soon, texts[-1]))
            story.checkpoint(121)
            await until(pilot, lambda: texts[-1] not in screen_text(app))


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        (
            "en",
            (
                "Disk full (12 MiB free): the checkpoint of step 120 can't be saved.",
                "next try in 50s.",
                "Make room on this disk. Last good checkpoint: step 100.",
            ),
        ),
        (
            "ko",
            (
                "디스크 가득 참(남은 공간 12 MiB): 120 스텝 체크포인트를",
                "50s 뒤",
                "이 디스크를 비우세요. 마지막 정상 체크포인트: 100 스텝",
            ),
        ),
    ],
)
async def test_a_full_disk_is_told_once_with_the_checkpoint_that_it_did_not_take(
    runs: Path,
    size: tuple[int, int],
    language: str,
    texts: tuple[str, ...],
    leave_room: Callable[[int], None],
) -> None:
    story = training_story(runs)
    checkpoint_of(story.run, 2 * GIB)
    leave_room(12 << 20)
    story.put(save_failed(story.run, 120))
    app = ConsoleApp(runs, story.run.id, language, clock=lambda: story.now + 10)
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, *texts))
            assert "the next one fails" not in screen_text(app)
            assert "다음 저장은 실패합니다" not in screen_text(app)


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("! Card throttled: NVIDIA L4 (GPU 0)", "92 °C", "card's cooling and power.")),
        ("ko", ("! GPU 속도 제한: NVIDIA L4 (GPU 0)", "92 °C", "냉각과 전원을 확인하세요.")),
    ],
)
async def test_a_throttled_card_stands_until_it_recovers(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = training_story(runs)
    story.put(THROTTLED)
    app = ConsoleApp(runs, story.run.id, language, clock=lambda: story.now + 10_000)
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, *texts))
            story.put(RECOVERED)
            await until(pilot, lambda: texts[-1] not in screen_text(app))


@at_both_sizes
@pytest.mark.parametrize(
    ("language", "texts"),
    [
        ("en", ("! Went back from step 120 to 100", "step 100/400", "nothing to do.")),
        ("ko", ("! 120 스텝에서 100 스텝으로 되돌아갔습니다", "100/400", "할 일은 없습니다.")),
    ],
)
async def test_a_rollback_is_told_and_the_screen_goes_back_with_it(
    runs: Path, size: tuple[int, int], language: str, texts: tuple[str, ...]
) -> None:
    story = training_story(runs)
    app = ConsoleApp(runs, story.run.id, language, clock=lambda: story.now + 10)
    with worker_of(story.run):
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, "120/400"))
            story.put(rolled_back(120, 100))
            await until(pilot, shows(pilot, *texts))
            story.step(101)
            await until(pilot, shows(pilot, "101/400"))


def test_errors_of_the_card_are_told_for_a_while(runs: Path) -> None:
    story = training_story(runs)
    story.put(CardTrouble(what="xid", codes=(13,), message="Xid error 13"))
    view = RunView(story.run, None, story.now)
    view.take(watch_events(story), Pulse("training"))
    assert [notice.text for notice in notices(view)] == ["Card trouble: Xid error 13"]
    view.now += TOLD_SECONDS
    assert notices(view) == []


def test_nothing_is_lived_with_once_a_run_has_ended(runs: Path) -> None:
    story = training_story(runs)
    story.put(save_failed(story.run, 120), THROTTLED, rolled_back(120, 100))
    view = RunView(story.run, None, story.now)
    view.take(watch_events(story), Pulse("training"))
    assert len(notices(view)) == 3
    view.take([], Pulse("done"))
    assert [notice.urgency for notice in notices(view)] == ["success"]


def watch_events(story: Story) -> list[AnyEvent]:
    return story.run.events().read()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_standing_notice_is_wider_than_80_columns_in_its_fixed_parts(
    runs: Path, language: str
) -> None:
    use_language(language)
    story = training_story(runs)
    story.put(save_failed(story.run, 123_456), THROTTLED, rolled_back(123_456, 100_000))
    view = RunView(story.run, None, story.now)
    view.take(watch_events(story), Pulse("training"))
    assert all(fmt.width(notice.remedy) <= 76 for notice in notices(view))


@pytest.mark.parametrize(
    ("language", "marks"),
    [
        (
            "en",
            [
                "! checkpoint not saved",
                "! card throttled",
                "! skipped steps: 5",
                "! rolled back: 1",
            ],
        ),
        (
            "ko",
            [
                "! 체크포인트 저장 실패",
                "! GPU 속도 제한",
                "! 건너뛴 스텝 5개",
                "! 되돌아감 1번",
            ],
        ),
    ],
)
def test_status_marks_faults_for_people_and_programs(
    runs: Path, language: str, marks: list[str]
) -> None:
    use_language(language)
    story = training_story(runs)
    failed = save_failed(story.run, 120)
    with worker_of(story.run):
        assert "!" not in status_line(watch(story.run))
        story.put(failed, THROTTLED, NotFinite(step=120, what="loss", in_a_row=5, total=5))
        story.put(rolled_back(120, 100))
        watched = watch(story.run)
        assert status_line(watched).split("  ")[-4:] == marks
        told = report.status(watched)
    assert (told["skipped_steps"], told["rollbacks"]) == (5, 1)
    assert (told["save_failure"], told["throttled"]) == (failed.message, THROTTLED.message)
    story.finish("stopped", "stopped on request", 100)
    assert [mark for mark in marks[:2] if mark in status_line(watch(story.run))] == []
