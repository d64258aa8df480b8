"""The new-run form: few keys to a running training, and the plan of its choices beside it."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import msgspec
import pytest
from plan_reports import plan_report, setup
from sign_rows import chat_row
from textual.pilot import Pilot
from textual.widgets import Button, Input, Select
from tui_pilot import screen_text, shows, until
from tui_story import EPOCH

from core import launch
from core.config import read_config
from core.errors import UsageError
from core.hardware.nvml import Card
from core.planning import PlanRequest
from core.run_dir import RunDir, list_runs
from kocr_tui.app import ConsoleApp
from kocr_tui.reading.completion import complete_path, rows_file, validation_beside
from kocr_tui.reading.data_audit import survey
from kocr_tui.reading.live_plan import PlanState, request_of
from kocr_tui.reading.model_list import hub_cache, known_models
from kocr_tui.screens.ask_text import AskTextScreen
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.screens.home import HomeScreen
from kocr_tui.screens.new_run import NewRunScreen
from kocr_tui.screens.run import RunScreen
from kocr_tui.strings import use_language
from kocr_tui.views.form import FIELDS, value_of
from kocr_tui.widgets.form_row import FormRow
from kocr_tui.widgets.plan_side import few_lines, side_lines

REAL_PLAN = launch.plan
PLANNER = """
import os, shutil, signal, sys, json
here, (_, asked, answer) = os.path.dirname(sys.argv[0]), sys.argv
request = json.load(open(asked))
with open(f"{here}/asked", "a") as log:
    log.write(json.dumps(request) + "\\n")
rank = request["ranks"][0]
if rank == 7:
    sys.exit(print("Traceback\\n[bold]no such model[/bold]", file=sys.stderr) or 2)
if rank == 8 and not request["weights"]:
    print("2 8 setups", flush=True)
    pipe = open(f"{here}/life", "w")
    os.fork()
    signal.alarm(60)
    signal.pause()
name = "one" if request["weights"] else "all"
shutil.copy(f"{here}/{name}.json", answer)
"""
ALL = plan_report(
    setup(chosen=True, peak_gib=7.7),
    setup(weights="nf4", checkpointing="none", max_pixels=5_880_000, hours_an_epoch=12.0),
)
ONE = plan_report(setup(chosen=True, peak_gib=9.9))


@pytest.fixture(autouse=True)
def _no_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("kocr_tui.screens.form_news.auto_card", lambda: None)
    monkeypatch.setattr("kocr_tui.reading.data_audit.SETTLE_SECONDS", 0.05)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def planner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[PlanRequest]]:
    """A planner's process in the place of the engine's; gives what it was asked."""
    folder = tmp_path / "planner"
    folder.mkdir()
    os.mkfifo(folder / "life")
    (folder / "planner.py").write_text(PLANNER)
    (folder / "all.json").write_bytes(msgspec.json.encode(ALL))
    (folder / "one.json").write_bytes(msgspec.json.encode(ONE))
    command = (sys.executable, str(folder / "planner.py"))
    monkeypatch.setattr(launch, "plan", partial(REAL_PLAN, command=command))

    def asked() -> list[PlanRequest]:
        log = folder / "asked"
        lines = log.read_bytes().splitlines() if log.exists() else []
        return [msgspec.json.decode(line, type=PlanRequest) for line in lines]

    return asked


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of training and validation rows with their photos."""
    from PIL import Image

    folder = tmp_path / "data"
    folder.mkdir()
    for side, count in (("train", 5), ("validation", 2)):
        rows = []
        for index in range(count):
            Image.new("RGB", (640 + index, 480)).save(folder / f"{side}{index}.jpg")
            rows.append(json.dumps(chat_row(f"{side}{index}.jpg", "원마트"), ensure_ascii=False))
        (folder / f"{side}.jsonl").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Run ids that were started, and whether to tune alone."""
    runs: list[tuple[str, bool]] = []

    def start(run: RunDir, tune_only: bool = False) -> int:
        runs.append((run.id, tune_only))
        return 1

    monkeypatch.setattr("core.launch.launch", start)
    return runs


def app_of(runs: Path, language: str = "en") -> ConsoleApp:
    return ConsoleApp(runs, None, language, clock=lambda: EPOCH + 1000)


async def type_text(pilot: Pilot[str], text: str) -> None:
    names = {"/": "slash", ".": "full_stop", "_": "underscore", "-": "minus"}
    await pilot.press(*(names.get(character, character) for character in text))


async def open_form(pilot: Pilot[str]) -> NewRunScreen:
    await until(pilot, shows(pilot, "n   "))
    await pilot.press("n")
    await until(pilot, lambda: isinstance(pilot.app.screen, NewRunScreen))
    await until(pilot, lambda: pilot.app.focused is not None)
    screen = pilot.app.screen
    assert isinstance(screen, NewRunScreen)
    return screen


async def ended(life: IO[str]) -> bool:
    """Waits until nobody holds the pipe open, for less time than its holder would live."""
    return await asyncio.wait_for(asyncio.to_thread(life.read), 20) == ""


def value(form: NewRunScreen, widget_id: str) -> str:
    return form.query_one(f"#{widget_id}", Input).value


async def test_from_the_first_start_to_a_training_in_two_keys_and_the_path(
    runs: Path, data: Path, launched: list[tuple[str, bool]]
) -> None:
    app = app_of(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, shows(pilot, "No runs in"))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewRunScreen) and bool(app.focused))
        await type_text(pilot, "data/train.jsonl")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
    (run,) = list_runs(runs)
    assert launched == [(run.id, False)]
    config = read_config(run.config_file)
    assert config.data.train == str(data / "train.jsonl")
    assert config.data.validation == str(data / "validation.jsonl")
    assert config.model.path == "Qwen/Qwen2-VL-2B-Instruct"


@pytest.mark.action("tune_only")
async def test_a_folder_stands_for_the_files_of_rows_in_it(
    runs: Path, data: Path, launched: list[tuple[str, bool]]
) -> None:
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        await type_text(pilot, "data")
        await until(pilot, lambda: value(form, "data-validation") == "data/validation.jsonl")
        await until(pilot, shows(pilot, "5 kept, 0 set aside; photos up to 644 x 480"))
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunScreen))
    (run,) = list_runs(runs)
    assert launched == [(run.id, True)]
    assert read_config(run.config_file).data.train == str(data / "train.jsonl")


async def test_tab_and_right_complete_a_path_and_then_tab_moves_on(runs: Path, data: Path) -> None:
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        await type_text(pilot, "da")
        await until(pilot, shows(pilot, "data/"))
        await pilot.press("tab")
        await until(pilot, lambda: value(form, "data-train") == "data/")
        await until(pilot, shows(pilot, "data/train.jsonl"))
        await pilot.press("right")
        await until(pilot, lambda: value(form, "data-train") == "data/train.jsonl")
        await pilot.press("tab")
        await until(pilot, lambda: form.focused is form.query_one("#data-validation"))
        (data / "other.jsonl").touch()
        await pilot.press("ctrl+u", *"data", "slash", "down")
        await until(pilot, shows(pilot, "data/other.jsonl"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: value(form, "data-validation") == "data/other.jsonl")


async def test_validation_rows_of_the_users_own_stay(runs: Path, data: Path) -> None:
    (data / "mine.jsonl").write_text("{}\n")
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#data-validation", Input).value = "data/mine.jsonl"
        await until(pilot, shows(pilot, "no usable row"))
        form.query_one("#data-train", Input).value = "data/train.jsonl"
        await until(pilot, shows(pilot, "5 kept"))
        assert value(form, "data-validation") == "data/mine.jsonl"


async def test_rows_that_cannot_be_used_need_a_word_before_the_start(
    runs: Path, data: Path, launched: list[tuple[str, bool]]
) -> None:
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps(chat_row("[b]gone.jpg", "원마트")) + "\n")
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#data-train", Input).value = "data"
        await until(pilot, shows(pilot, "1 set aside", "1 found: mend, or set aside"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: form.focused is form.query_one("#data-bad-rows"))
        assert list_runs(runs) == []
        form.query_one("#data-bad-rows", Select).value = "set-aside"
        await until(pilot, lambda: "1 found" not in screen_text(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(launched))
    (run,) = list_runs(runs)
    assert read_config(run.config_file).data.bad_rows == "set-aside"


async def test_photos_outside_the_folder_that_is_named_are_not_used(
    runs: Path,
    data: Path,
    tmp_path: Path,
    planner: Callable[[], list[PlanRequest]],
    launched: list[object],
) -> None:
    (tmp_path / "other").mkdir()
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#data-train", Input).value = "data"
        await until(pilot, shows(pilot, "5 kept"))
        form.query_one("#data-root", Input).value = "nowhere"
        await until(pilot, shows(pilot, "✗ no such folder", "✗ photos only below: no such folder"))
        form.query_one("#data-root", Input).value = "other"
        await until(pilot, shows(pilot, "✗ no usable row"))
        form.query_one("#data-root", Input).value = "data/"
        await until(pilot, shows(pilot, "5 kept"))
        await until(pilot, lambda: bool(planner()) and planner()[-1].root == str(data))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(launched))
    (run,) = list_runs(runs)
    assert read_config(run.config_file).data.root == str(data)


async def test_another_path_ends_the_reading_of_the_first(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "life")
    reader = tmp_path / "reader.py"
    reader.write_text(
        "import signal, sys\n"
        "if sys.argv[1].endswith('endless.jsonl'):\n"
        "    print('1200 5000 photos', flush=True)\n"
        f"    pipe = open({str(tmp_path / 'life')!r}, 'w')\n"
        "    signal.alarm(60)\n"
        "    signal.pause()\n"
        "print('no usable row', file=sys.stderr)\n"
        "sys.exit(2)\n"
    )
    command = (sys.executable, str(reader))
    monkeypatch.setattr("kocr_tui.reading.data_audit.survey", partial(survey, command=command))
    (tmp_path / "endless.jsonl").touch()
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#data-train", Input).value = "endless.jsonl"
        await until(pilot, shows(pilot, "reading photos: 1,200 of 5,000", "once the rows are read"))
        with (tmp_path / "life").open() as life:
            form.query_one("#data-train", Input).value = "data/train.jsonl"
            assert await ended(life)
        await until(pilot, shows(pilot, "✗ no usable row", "✓ planned"))


async def test_the_plan_comes_in_two_steps_and_follows_the_choices(
    runs: Path, data: Path, tmp_path: Path, planner: Callable[[], list[PlanRequest]]
) -> None:
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        await until(pilot, shows(pilot, "✓ planned", "~7.70 GiB of 21.80 GiB", "2 setups"))
        first, whole = planner()
        assert (first.weights, first.checkpointing) == (("fp32",), ("all",))
        assert (whole.weights, whole.train) == ((), None)

        form.query_one("#lora-rank", Input).value = "8"
        await until(pilot, shows(pilot, "first estimate", "planning 3 of 8", "~9.90 GiB"))
        with (tmp_path / "planner" / "life").open() as life:
            form.query_one("#lora-rank", Input).value = "16"
            assert await ended(life)
        await until(pilot, shows(pilot, "✓ planned", "~7.70 GiB"))
        assert len(planner()) == 4

        form.query_one("#data-train", Input).value = "data"
        await until(pilot, lambda: len(planner()) == 6)
        assert planner()[-1].train == str(data / "train.jsonl")
        assert planner()[-1].validation == str(data / "validation.jsonl")


async def test_an_older_plan_is_shown_as_such_and_a_failed_one_says_why(
    runs: Path, planner: Callable[[], list[PlanRequest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        await until(pilot, shows(pilot, "✓ planned", "~7.70 GiB of 21.80 GiB"))
        monkeypatch.setattr("kocr_tui.reading.live_plan.SETTLE_SECONDS", 60)
        form.query_one("#lora-rank", Input).value = "32"
        await until(pilot, shows(pilot, "planning anew…", "~7.70 GiB"))
        monkeypatch.setattr("kocr_tui.reading.live_plan.SETTLE_SECONDS", 0.05)
        form.query_one("#lora-rank", Input).value = "7"
        await until(pilot, shows(pilot, "✗ [bold]no such model[/bold]"))
        assert all(request.ranks != (32,) for request in planner())


async def test_leaving_the_form_ends_the_planner(
    runs: Path, tmp_path: Path, planner: Callable[[], list[PlanRequest]]
) -> None:
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#lora-rank", Input).value = "8"
        await until(pilot, shows(pilot, "planning 3 of 8"))
        with (tmp_path / "planner" / "life").open() as life:
            await pilot.press("escape")
            assert await ended(life)
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))


async def test_a_goal_brings_its_number_and_asks_for_it(
    runs: Path, data: Path, planner: Callable[[], list[PlanRequest]], launched: list[object]
) -> None:
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#tune-goal", Select).value = "hours"
        await until(pilot, shows(pilot, "hours an epoch  ", "✗ hours an epoch: needs a value"))
        form.query_one("#tune-hours", Input).value = "12.5"
        await until(pilot, shows(pilot, "name the training rows"))
        form.query_one("#data-train", Input).value = "data"
        await until(pilot, lambda: bool(planner()) and planner()[-1].hours == 12.5)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: bool(launched))
    (run,) = list_runs(runs)
    tune = read_config(run.config_file).tune
    assert (tune.hours, tune.max_pixels, tune.fastest) == (12.5, None, False)


@pytest.mark.action("save_config")
async def test_choices_are_saved_once_and_written_over_only_when_asked(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        await type_text(pilot, "data")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskTextScreen))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "written to ./signs.toml", "kocr-tui train -c signs.toml"))
        saved = read_config(tmp_path / "signs.toml")
        assert saved.data.train == str(data / "train.jsonl")
        form.query_one("#train-epochs", Input).value = "3"
        for answer, epochs in (("n", 1), ("y", 3)):
            await pilot.press("ctrl+o")
            await until(pilot, lambda: isinstance(pilot.app.screen, AskTextScreen))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            await pilot.press(answer)
            await until(
                pilot,
                lambda wanted=epochs: read_config(tmp_path / "signs.toml").train.epochs == wanted,
            )
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskTextScreen))
        await pilot.press("ctrl+u", *"no", "slash", *"x", "enter")
        await until(pilot, shows(pilot, "no/x: can't be written"))


async def test_the_card_of_this_machine_is_named_beside_the_profiles(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Card(name="NVIDIA GeForce RTX 4090", total_bytes=int(23.99 * 2**30))
    monkeypatch.setattr("kocr_tui.screens.form_news.auto_card", lambda: card)
    async with app_of(runs).run_test(size=(80, 24), notifications=True) as pilot:
        form = await open_form(pilot)
        await until(pilot, shows(pilot, "NVIDIA GeForce RTX 4090, 24.0 GiB; auto is rtx4090"))
        form.query_one("#device-profile", Select).focus()
        await pilot.press("enter")
        await until(pilot, shows(pilot, "l4                 22 GiB  data centre, Ada"))


async def test_models_of_this_disk_and_published_ones_are_listed(
    runs: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "hub" / "models--some--sign-reader" / "snapshots" / "abc"
    for folder in (tmp_path / "mine", snapshot):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "qwen2_5_vl"}')
    async with app_of(runs).run_test(size=(120, 40), notifications=True) as pilot:
        form = await open_form(pilot)
        form.query_one("#model-path", Input).focus()
        await until(pilot, shows(pilot, "to be downloaded"))
        await pilot.press("down")
        await until(pilot, shows(pilot, "./mine", "on this disk  Qwen2.5-VL", "some/sign-reader"))
        await pilot.press("escape")
        await until(pilot, lambda: "./mine" not in screen_text(pilot.app))
        await pilot.press("ctrl+u", *"reader", "down", "enter")
        await until(pilot, lambda: value(form, "model-path") == "some/sign-reader")
        await until(pilot, shows(pilot, "downloaded  Qwen2.5-VL"))


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_tab_reaches_every_field_and_shows_it(
    runs: Path, size: tuple[int, int], language: str
) -> None:
    async with app_of(runs, language).run_test(size=size, notifications=True) as pilot:
        form = await open_form(pilot)
        shown = [row for row in form.query(FormRow) if row.display]
        for row in shown:
            await until(pilot, lambda row=row: form.focused in row.walk_children())
            await until(pilot, lambda row=row: form.can_view_entire(row.query_one(".line")))
            await pilot.press("tab")
        await until(pilot, lambda: isinstance(form.focused, Button))


def values(**given: str) -> dict[str, str]:
    base = {field.key: field.default for field in FIELDS}
    return base | {key.replace("__", "."): text for key, text in given.items()}


def test_a_path_is_completed_by_what_is_in_its_folder(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train_small.jsonl", "a.jsonl", "photo.jpg", ".hidden.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "가게").mkdir()
    root = f"{tmp_path}/"

    def best(text: str, *first: str) -> str | None:
        return complete_path(root + text, first=first).best

    assert best("t") == f"{root}train"
    assert best("train") == f"{root}train.jsonl"
    assert best("train.jsonl") is None
    assert best("") == f"{root}a.jsonl"
    assert best("", "train.jsonl") == f"{root}train.jsonl"
    assert best("가") == f"{root}가게/"
    assert best("ph") is None
    assert best(".h") == f"{root}.hidden.jsonl"
    assert complete_path(root, folders_only=True).matches == (f"{root}가게/",)
    assert complete_path("/nowhere/at/all").matches == ()
    assert complete_path("~nobody-of-that-name/x").matches == ()


@pytest.mark.parametrize("name", ["validation.jsonl", "val.jsonl"])
def test_validation_rows_are_found_beside_training_rows(tmp_path: Path, name: str) -> None:
    train = tmp_path / "train.jsonl"
    train.touch()
    assert validation_beside(str(train)) is None
    (tmp_path / name).touch()
    assert validation_beside(str(train)) == str(tmp_path / name)
    assert validation_beside(str(tmp_path)) is None
    assert rows_file(f"{tmp_path}/") == str(train)
    assert rows_file("x" * 5000) == "x" * 5000


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_the_hubs_cache_is_where_its_library_keeps_it(
    environment: dict[str, str], place: str
) -> None:
    assert str(hub_cache(environment)) == place


def test_models_are_taken_from_the_commit_that_main_is_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--Qwen--Qwen2-VL-2B-Instruct"
    for commit, size in (("aaa", 10), ("bbb", 30)):
        folder = place / "snapshots" / commit
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
        (folder / "model.safetensors").write_bytes(b"x" * size)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("bbb")
    other = tmp_path / "hub" / "models--bert" / "snapshots" / "c"
    other.mkdir(parents=True)
    (other / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("[1")
    found = {model.name: model for model in known_models(tmp_path)}
    cached = found["Qwen/Qwen2-VL-2B-Instruct"]
    assert (cached.where, cached.family, cached.weight_bytes) == ("cache", "Qwen2-VL", 30)
    assert found["Qwen/Qwen3-VL-2B-Instruct"].where == "hub"
    assert not {"bert", "./broken"} & found.keys()


@pytest.mark.parametrize(
    ("text", "number"), [("0.1", 0.1), ("10 %", 0.1), ("x", None), ("inf", None), ("nan%", None)]
)
def test_a_share_may_be_given_in_percent(text: str, number: float | None) -> None:
    assert value_of("validation.share", text) == number


def test_a_plan_is_asked_for_what_counts_alone(tmp_path: Path) -> None:
    chosen = values(tune__goal="fixed", tune__max_pixels="802,816", tune__hours="x", lora__rank="8")
    assert request_of(chosen, "/t.jsonl", "/v.jsonl") == PlanRequest(
        model="Qwen/Qwen2-VL-2B-Instruct",
        ranks=(8,),
        train="/t.jsonl",
        validation="/v.jsonl",
        max_pixels=802_816,
    )
    use_language("en")
    with pytest.raises(UsageError, match="LoRA rank: needs a number"):
        request_of(values(lora__rank="x"), None, None)
    with pytest.raises(UsageError, match="name the training rows"):
        request_of(values(tune__goal="hours", tune__hours="3"), None, None)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_the_plan_fits_its_room(language: str) -> None:
    use_language(language)
    state = PlanState(report=ALL, planning=True, first=True, done=2, total=8)
    for columns in (43, 61):
        assert all(line.cell_length <= columns for line in side_lines(state, 12, columns)[3:])
    lines = few_lines(state, 12, 78)
    assert len(lines) == 3
    assert all(line.cell_length <= 78 for line in lines)
    nothing = plan_report(setup(peak_gib=30.0, feasible=False))
    assert "30.00 GiB" in few_lines(PlanState(report=nothing, current=True), 1, 78)[0].plain
