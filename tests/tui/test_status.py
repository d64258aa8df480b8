"""`status --watch` and what commands print where Hangul can't be shown, in real processes."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import pytest
from asked import asked_of
from tui_story import Story, training_story, worker_of

from core.events import CertificateVoided, Change, Finished, Log, State
from core.run_watch import watch
from kocr_tui import format as fmt
from kocr_tui.commands.status import line_of
from kocr_tui.plain import report
from kocr_tui.plain.follow import _Printer
from kocr_tui.strings import use_language
from kocr_tui.words import message_of

ASCII = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
KEPT = "요청에 따라 중지했습니다. 120 스텝의 체크포인트가 남아 있습니다"
STOPPED = Finished(state="stopped", exit_code=3, message="stopped on request; more", step=120)


def command(runs: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "kocr_tui.cli", *arguments, "--runs", str(runs)]


def kocr(runs: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(runs, *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **environment},
    )


@contextmanager
def watching(runs: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(runs, "status", "--watch", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_a_watched_run_is_told_by_line_until_it_ends_with_its_exit_code(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run), watching(runs) as process:
        first = line(process)
        assert first.startswith(f"{story.run.id}  training  120/400  12.3 samples/s")
        assert "normalised 70.0 %" in first
        story.step(121)
        assert "121/400" in line(process)
        story.put(STOPPED)
        assert "stopped  121/400" in line(process)
        # As long as the worker holds its run it may be another one that goes on.
        assert process.poll() is None
    with watching(runs) as process:
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (3, "")
    assert out.splitlines() == [out.strip()]


def test_watching_for_programs_is_an_object_a_change(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run), watching(runs, "--lang", "ko", "--json") as process:
        assert json.loads(line(process))["step"] == 120
        story.step(121)
        told = json.loads(line(process))
        assert (told["step"], told["state"]) == (121, "training")


def test_ctrl_c_ends_the_watching_and_leaves_the_run_alone(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run), watching(runs) as process:
        line(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert asked_of(story.run) == []
        assert story.run.worker_pid() is not None


def test_a_run_that_is_deleted_while_watched_is_one_line_and_exit_code_1(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run), watching(runs) as process:
        line(process)
        shutil.rmtree(story.run.path)
        _out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [said] = errors.splitlines()
    assert said.startswith(f"kocr-tui: {story.run.id}: its folder is gone")


def test_a_run_that_is_dead_is_exit_code_1_with_its_last_words(runs: Path) -> None:
    story = training_story(runs)
    story.run.log_file.write_text("RuntimeError: out of luck\n")
    with watching(runs) as process:
        _out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "out of luck" in errors


def test_on_a_terminal_one_line_is_written_over(runs: Path) -> None:
    story = training_story(runs)
    story.put(STOPPED)
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**os.environ, "COLUMNS": "40", "LC_ALL": "ko_KR.UTF-8", "PYTHONUTF8": "1"}
        arguments = command(runs, "status", "--watch")
        os.execvpe(arguments[0], arguments, environment)
    seen = b""
    try:
        while chunk := os.read(terminal, 4096):
            seen += chunk
    except OSError:
        pass
    os.close(terminal)
    _pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    before, _, shown = seen.decode().partition("\r")
    assert before == ""
    assert fmt.width(shown.rstrip("\r\n")) == 39
    assert "중지됨" in shown


def hangul_run(runs: Path) -> Story:
    story = training_story(runs, "간판")
    story.put(Finished(state="failed", exit_code=1, message="사진 없음", step=120))
    return story


def test_the_readme_names_every_key_of_status(runs: Path) -> None:
    told = report.status(watch(training_story(runs).run))
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    _before, _, rest = readme.partition("`status --json` (and")
    table, _, _after = rest.partition("\n## ")
    keys = {*told, *told["memory"], *told["validation"], *told["validation"]["exact"]}
    assert {key for key in keys if f"`{key}`" not in table} == set()
    assert {state for state in get_args(State) if f"`{state}`" not in table} == set()


def test_json_is_whole_on_an_ascii_stdout(runs: Path) -> None:
    story = hangul_run(runs)
    for arguments in (("runs", "--json"), ("status", "--json")):
        done = kocr(runs, *arguments, **ASCII)
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        told = told[0] if isinstance(told, list) else told
        assert (told["run"], told["message"]) == (story.run.id, "사진 없음")
    assert "사진 없음" in kocr(runs, "status", "--json").stdout


@pytest.mark.parametrize("arguments", [("runs",), ("status",), ("--lang", "ko", "status")])
def test_plain_lines_do_not_crash_on_an_ascii_stdout(
    runs: Path, arguments: tuple[str, ...]
) -> None:
    hangul_run(runs)
    done = kocr(runs, *arguments, **ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\uc0ac\\uc9c4" in done.stdout


def test_an_error_does_not_crash_on_an_ascii_stderr(runs: Path) -> None:
    done = kocr(runs, "status", "간판", **ASCII)
    assert done.returncode == 2
    assert done.stderr.startswith("kocr-tui: \\uac04\\ud310: no such run")


@pytest.fixture
def in_korean() -> Iterator[None]:
    use_language("ko")
    yield
    use_language("en")


@pytest.mark.usefixtures("in_korean")
def test_status_for_people_is_in_their_language(runs: Path) -> None:
    story = training_story(runs)
    with worker_of(story.run):
        told = line_of(watch(story.run))
    assert told.split("  ")[1:] == [
        "학습",
        "120/400",
        "초당 12.3장",
        "6m 04s 남음",
        "정규화 일치 70.0 %",
    ]
    story.put(STOPPED)
    assert line_of(watch(story.run)).endswith(
        "정규화 일치 70.0 %  요청에 따라 중지했습니다. 120 스텝의 체크포인트가 남아 있습니다"
    )


ENDS = [
    (STOPPED, KEPT),
    (Finished(state="stopped", exit_code=3, message="stopped on request"), "요청에 따라 중지"),
    (Finished(state="stopped", exit_code=0, message="tuned; more"), "탐색을 마쳤습니다"),
    (Finished(state="done", exit_code=0, message="trained 24 steps", step=24), "24 스텝을 학습"),
    (
        Finished(state="aborted", exit_code=3, message="aborted on request", asked="abort"),
        "요청에 따라 중단했습니다",
    ),
    (
        Finished(state="aborted", exit_code=3, message="left at once on a second signal"),
        "left at once on a second signal",
    ),
    (
        Finished(state="failed", exit_code=1, message="stopped on request; can't save"),
        "stopped on request; can't save",
    ),
    (
        Finished(state="failed", exit_code=1, message="trained on what isn't there"),
        "trained on what isn't there",
    ),
]


@pytest.mark.usefixtures("in_korean")
@pytest.mark.parametrize(("event", "said"), ENDS)
def test_an_end_is_told_by_what_it_is_and_a_failure_by_its_reason(
    event: Finished, said: str
) -> None:
    assert message_of(event).startswith(said)


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "failed: Xid 79; `kocr-tui resume signs` checks the card and goes on"),
        (
            "ko",
            "실패: Xid 79; `kocr-tui resume signs` 명령은 GPU를 점검하고 이어 갑니다",
        ),
    ],
)
def test_a_lost_card_is_told_with_what_to_type(
    language: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    _Printer("signs").show(Finished(state="failed", exit_code=4, message="Xid 79"))
    use_language("en")
    assert capsys.readouterr().out == f"{said}\n"


@pytest.mark.usefixtures("in_korean")
def test_a_followed_run_is_told_in_the_language_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    printer = _Printer("signs")
    printer.show(Log(level="warning", message="x"))
    printer.show(CertificateVoided(changes=(Change(name="driver", before="1", now="2"),)))
    printer.show(STOPPED)
    printer.show(Finished(state="done", exit_code=0, message="trained 24 steps", step=24))
    assert capsys.readouterr().out.splitlines() == [
        "주의: x",
        "메모리 확인이 더는 유효하지 않아 다시 확인함: 드라이버 1 → 2",
        f"중지됨: {KEPT}; `kocr-tui resume signs` 명령으로 이어 갈 수 있습니다",
        "완료: 24 스텝을 학습했습니다",
    ]
