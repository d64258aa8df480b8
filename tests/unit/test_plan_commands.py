"""`plan` and `tune`: what their options ask for, and the planner's process."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from plan_reports import PROVED

from core import launch
from core.config import DataConfig, ModelConfig, RunConfig
from core.errors import KocrError, UsageError
from core.planning import PlanReport, PlanRequest
from core.run_dir import create_run
from kocr_tui.commands.plan import request_of_options
from kocr_tui.commands.tune import read_plan
from kocr_tui.options.arguments import make_parser
from kocr_tui.options.run_config import config_of_options

BOTH = ("--train", "train.jsonl", "--validation", "validation.jsonl")
# Runs the command with a planner of the test's own in the place of the engine's.
WITH_PLANNER = """
import sys
from functools import partial
from core import launch
launch.plan = partial(launch.plan, command=(sys.executable, sys.argv[1]))
from kocr_tui.cli import main
sys.exit(main(sys.argv[2:]))
"""


def parsed(*arguments: str) -> Any:
    return make_parser().parse_args(arguments)


def kocr(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kocr_tui.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KOCR_HOME": str(home), "LANG": "C.UTF-8"},
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "--rank", "8,0"], ["--rank", "1 or more", "'0'"]),
        (["plan", "--weights", "bf16,fp8"], ["--weights", "nf4", "'fp8'"]),
        (["plan", "--targets", "vision"], ["--targets", "language+merger", "'vision'"]),
        (["plan", "--checkpointing", "all,1"], ["--checkpointing", "2 or more", "'1'"]),
        (["plan", "--photo", "4032"], ["--photo", "4032x3024", "'4032'"]),
        (["plan", "--photo", "0x10"], ["--photo", "'0x10'"]),
        (["plan", "--capacity-gib", "nan"], ["--capacity-gib", "above 0", "'nan'"]),
        (["plan", "--hours", "3", "--fastest"], ["--fastest", "--hours"]),
        (["plan", "--max-pixels", "3136", "--hours", "3"], ["--hours", "--max-pixels"]),
        (["plan", "--hours", "3"], ["--hours", "--rows", "--data"]),
        (["plan", "--profile", "rtx409"], ["rtx409", "did you mean 'rtx4090'"]),
        (["plan", "--data", "nowhere"], ["nowhere", "no such file"]),
        (["plan", "--validation", "v.jsonl"], ["--validation", "--data"]),
        (["plan", "--data", "d", "--rows", "9"], ["--rows", "--data"]),
        (["plan", "--data", "d", "--photo", "9x9"], ["--photo", "--data"]),
        (["plan", "--model", "./nowhere"], ["./nowhere", "no such folder"]),
        (["plan", "--model", ""], ["model", "length"]),
        (["plan", "--nope"], ["--nope", "--help"]),
        (["tune"], ["--train"]),
        (["tune", *BOTH], ["train.jsonl", "no such file"]),
        (["tune", *BOTH, "--hours", "3", "--fastest"], ["--fastest", "--hours"]),
        (["tune", *BOTH, "--detach", "--json"], ["--json", "--detach"]),
        (["tune", *BOTH, "--rank", "0"], ["lora.rank", ">= 1"]),
        (["train", *BOTH, "--max-pixels", "0"], ["--max-pixels", "1 or more"]),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    done = kocr(*arguments, home=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("kocr-tui: ")
    for word in words:
        assert word in line
    assert not (tmp_path / "runs").exists()


def test_a_plan_without_options_is_of_the_default_model_on_this_box() -> None:
    assert request_of_options(parsed("plan")) == PlanRequest(model="qwen2-vl-2b")


def test_the_options_of_a_plan_become_its_request() -> None:
    options = parsed(
        *("plan", "--model", "Qwen2.5-VL-7B", "--profile", "h100", "--capacity-gib", "39.5"),
        *("--weights", "bf16, nf4,bf16", "--rank", "8,16", "--targets", "attention,all"),
        *("--checkpointing", "none,4,all", "--photo", "1920x1080", "--rows", "138149"),
        *("--hours", "2.5"),
    )
    assert request_of_options(options) == PlanRequest(
        model="Qwen2.5-VL-7B",
        profile="h100",
        capacity_gib=39.5,
        weights=("bf16", "nf4"),
        ranks=(8, 16),
        targets=("attention", "all"),
        checkpointing=("none", 4, "all"),
        photo=(1920, 1080),
        rows=138_149,
        hours=2.5,
    )
    assert request_of_options(parsed("plan", "--max-pixels", "802816")).max_pixels == 802_816
    assert request_of_options(parsed("plan", "--fastest")).fastest


def test_data_is_a_folder_or_files_of_rows(tmp_path: Path) -> None:
    train, own, other = (
        tmp_path / name for name in ("train.jsonl", "validation.jsonl", "other.jsonl")
    )
    for path in (train, own, other):
        path.touch()

    def sides(*arguments: str) -> tuple[str | None, str | None]:
        request = request_of_options(parsed("plan", "--data", *arguments))
        return request.train, request.validation

    assert sides(str(tmp_path)) == (str(train), str(own))
    assert sides(str(tmp_path), "--validation", str(other)) == (str(train), str(other))
    assert sides(str(train)) == (str(train), None)
    own.unlink()
    assert sides(str(tmp_path)) == (str(train), None)
    train.unlink()
    with pytest.raises(UsageError, match=r"train\.jsonl: no such file"):
        sides(str(tmp_path))


def test_a_model_folder_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert request_of_options(parsed("plan", "--model", "mine")).model == str(tmp_path / "mine")


def test_tune_and_train_make_the_same_config_of_the_same_options(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    given = (
        *("--train", str(rows), "--validation", str(rows), "--profile", "rtx4090"),
        *("--capacity-gib", "12", "--weights", "nf4", "--rank", "8", "--checkpointing", "4"),
        *("--max-pixels", "802816"),
    )
    config = config_of_options(parsed("tune", *given))
    assert config == config_of_options(parsed("train", *given))
    assert config.device.capacity_gib == 12
    assert (config.model.dtype, config.lora.rank, config.train.checkpointing) == ("nf4", 8, 4)
    assert config.tune.max_pixels == 802_816


def test_a_goal_among_the_options_is_instead_of_the_files(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.touch()
    file = tmp_path / "run.toml"
    file.write_text(
        'name = "signs"\n[model]\npath = "Qwen/Qwen2-VL-2B-Instruct"\n'
        '[data]\ntrain = "rows.jsonl"\nvalidation = "rows.jsonl"\n'
        '[device]\nprofile = "rtx4090"\n[tune]\nmax_pixels = 802816\ntolerance = 0.1\n'
    )
    tune = config_of_options(parsed("tune", "-c", str(file), "--hours", "6")).tune
    assert (tune.max_pixels, tune.hours, tune.fastest, tune.tolerance) == (None, 6, False, 0.1)
    tune = config_of_options(parsed("tune", "-c", str(file), "--fastest")).tune
    assert (tune.max_pixels, tune.hours, tune.fastest) == (None, None, True)
    assert config_of_options(parsed("tune", "-c", str(file))).tune.max_pixels == 802_816


@pytest.fixture
def planner(tmp_path: Path) -> Any:
    """Writes a planner (a real program) and returns the words that start it."""

    def write(code: str) -> tuple[str, str]:
        (tmp_path / "proved.json").write_bytes(msgspec.json.encode(PROVED))
        script = tmp_path / "planner.py"
        head = "import os, shutil, signal, sys\n_, asked, answer = sys.argv\n"
        script.write_text(head + code, encoding="utf-8")
        return sys.executable, str(script)

    return write


def test_the_planner_gets_the_request_and_its_progress_is_told(
    tmp_path: Path, planner: Any
) -> None:
    command = planner(
        f"shutil.copy(asked, {str(tmp_path / 'seen.json')!r})\n"
        "print('0 2 bf16, checkpointing all', flush=True)\n"
        "print('a library talks: 1 2 3')\n"
        "print('1 2 nf4', file=sys.stderr)\n"
        "print('2 2')\n"
        "assert sys.stdin.read() == ''\n"
        "assert os.environ['CUDA_DEVICE_ORDER']\n"
        f"shutil.copy({str(tmp_path / 'proved.json')!r}, answer)\n"
    )
    told: list[tuple[int, int, str]] = []
    request = PlanRequest(model="qwen2-vl-2b", weights=("nf4",), checkpointing=("none", 4))
    report = launch.plan(request, lambda *step: told.append(step), command)
    assert report == PROVED
    assert told == [(0, 2, "bf16, checkpointing all"), (2, 2, "")]
    seen = (tmp_path / "seen.json").read_bytes()
    assert msgspec.json.decode(seen, type=PlanRequest) == request


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "sys.exit(print('warned', 'no such model', sep='\\n', file=sys.stderr) or 2)",
            2,
            "no such model",
        ),
        ("sys.exit(print('out of disk', file=sys.stderr) or 1)", 1, "out of disk"),
        ("sys.exit(print('card lost', file=sys.stderr) or 4)", 4, "card lost"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "the planner ended with code -9 and no word"),
        ("sys.exit(0)", 1, "the planner ended with code 0 and no word"),
    ],
)
def test_a_planner_that_fails_is_one_line(planner: Any, code: str, kind: int, message: str) -> None:
    with pytest.raises(KocrError) as caught:
        launch.plan(PlanRequest(model="m"), lambda *_step: None, planner(code))
    assert str(caught.value) == message
    assert caught.value.exit_code == kind


def test_a_plan_as_json_is_one_object_and_progress_is_on_standard_error(
    tmp_path: Path, planner: Any
) -> None:
    _python, script = planner(
        f"print('1 3 nf4', flush=True)\nshutil.copy({str(tmp_path / 'proved.json')!r}, answer)\n"
    )
    watched, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", WITH_PLANNER, script, "plan", "--profile", "rtx4090", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        check=True,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    os.close(terminal)
    assert "planned 1 / 3  nf4" in os.read(watched, 4096).decode()
    os.close(watched)
    [line] = done.stdout.splitlines()
    told = json.loads(line)
    assert {"model", "profile", "capacity_gib", "choice", "setups", "probes", "why"} <= told.keys()
    assert told["choice"] == told["setups"][0]
    assert told["choice"].keys() >= {
        *("weights", "rank", "targets", "checkpointing", "micro_batch_tokens", "max_pixels"),
        *("image_tokens", "peak_gib", "headroom_gib", "samples_per_s", "feasible"),
    }
    assert msgspec.convert(told, PlanReport) == PROVED


def test_ctrl_c_ends_the_planner_and_its_helpers(tmp_path: Path, planner: Any) -> None:
    life = tmp_path / "life"
    os.mkfifo(life)
    _python, script = planner(
        f"pipe = open({str(life)!r}, 'w')\n"
        "helper = os.fork()\n"
        "signal.alarm(60)\n"
        "if helper:\n"
        "    print('alive', file=pipe, flush=True)\n"
        "signal.pause()\n"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", WITH_PLANNER, script, "plan", "--profile", "rtx4090"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LANG": "C.UTF-8"},
    )
    with command, life.open() as pipe:
        assert pipe.readline() == "alive\n"
        command.send_signal(signal.SIGINT)
        assert pipe.read() == ""
        output, errors = command.communicate()
    assert (command.returncode, output) == (3, "")
    assert errors == "kocr-tui: interrupted; nothing was written\n"


def test_a_plan_is_read_from_the_runs_folder(tmp_path: Path) -> None:
    run = create_run(
        tmp_path,
        RunConfig(
            name="signs",
            model=ModelConfig(path="m"),
            data=DataConfig(train="t.jsonl", validation="v.jsonl"),
        ),
    )
    with pytest.raises(KocrError, match=r"plan\.json: the worker left no plan; see .*worker\.log"):
        read_plan(run)
    run.plan_file.write_bytes(b'{"model": 3}')
    with pytest.raises(KocrError, match=r"plan\.json: not a plan: Expected `str`"):
        read_plan(run)
    run.plan_file.write_bytes(msgspec.json.encode(PROVED))
    assert read_plan(run) == PROVED
