"""The tuning view: planning, probing and choosing as a person sees and does them."""

from pathlib import Path

import msgspec
import pytest
import tuning_story as tuning
from asked import asked_of
from textual.widgets import DataTable
from tui_pilot import screen_text, shows, until
from tui_story import Story, worker_of
from tuning_story import probing, proved

from core.config import read_config
from core.errors import KocrError, UsageError
from core.event_log import EventReader
from core.events import Planned, StateChanged, TrainingStarted
from core.hardware.nvml import Card, Monitor, Process
from core.planning import PlannedSetup
from core.run_dir import RunDir
from core.run_state import RunState
from core.run_watch import watch
from kocr_tui.app import ConsoleApp
from kocr_tui.plain.follow import _Printer
from kocr_tui.reading.others_on_card import OthersOnCard
from kocr_tui.reading.plan_watch import PlanWatch
from kocr_tui.screens.confirm import ConfirmScreen
from kocr_tui.strings import use_language
from kocr_tui.views import choice

SIZES = [(80, 24), (120, 40), (200, 50)]
GIB = 2**30


def app_of(story: Story, language: str = "en") -> ConsoleApp:
    return ConsoleApp(story.run.path.parent, story.run.id, language, clock=lambda: story.now + 17)


@pytest.mark.parametrize("size", SIZES)
async def test_planning_shows_how_many_setups_are_planned(
    runs: Path, size: tuple[int, int]
) -> None:
    story = Story(runs)
    tuning.start(story)
    tuning.plan(story, done=3)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, "Planning setups: 3 of 8", "free 21.80"))
            story.put(Planned(done=4, total=8))
            await until(pilot, shows(pilot, "Planning setups: 4 of 8"))


@pytest.mark.parametrize("size", SIZES)
async def test_bar_probes_bracket_and_table_are_on_the_screen_at_once(
    runs: Path, size: tuple[int, int]
) -> None:
    story = probing(runs)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, shows(pilot, "▓ activations 14.40", "█ weights 4.12"))
            await until(pilot, shows(pilot, "✗ out of memory", "✓ fits", "▶ running 17s"))
            await until(pilot, shows(pilot, "Largest that fits: 6.42 MP", "✓─", "┤ 12.19 MP"))
            await until(pilot, shows(pilot, "▸ bf16 all", "~19.04", "nf4  all", "checkpointing"))


async def test_others_on_the_card_have_their_part_of_the_bar(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OthersOnCard, "read", lambda *_of: int(1.5 * GIB))
    story = probing(runs)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "╳ other processes 1.50", "· kept free 0.70"))
            await until(pilot, shows(pilot, "░░░····╳╳╳╳╳╳╳╳"))


async def test_the_end_of_the_table_is_reached_by_the_cursor(runs: Path) -> None:
    story = probing(runs)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await until(pilot, shows(pilot, "▸ bf16 all"))
            assert "✗ nf4  none" not in screen_text(app)
            await until(pilot, lambda: isinstance(app.focused, DataTable))
            await pilot.press(*["down"] * 7)
            await until(pilot, shows(pilot, "✗ nf4  none", "~25.10", "-5.50"))


async def test_a_proved_choice_stands_without_the_mark_of_a_prediction(runs: Path) -> None:
    story = proved(runs)
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✓ Chosen: 10.98 MP, bf16", "r trains with it"))
        await until(pilot, shows(pilot, "peak 19.04 of 21.80 GiB (measured)", "· A probe of"))
        await until(pilot, shows(pilot, "▸ bf16 all"))
        row = next(line for line in screen_text(app).splitlines() if "▸" in line)
        assert "~" not in row


async def test_a_broken_plan_is_told_and_a_whole_one_takes_its_place(runs: Path) -> None:
    story = probing(runs)
    story.run.plan_file.write_bytes(b'{"model": "[red]3')
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "! plan.json can't be read", "▶ running"))
            tuning.write_plan(story)
            await until(pilot, shows(pilot, "▸ bf16 all"))
            assert "can't be read" not in screen_text(app)


async def test_nothing_that_fits_is_said_with_what_the_least_takes(runs: Path) -> None:
    story = Story(runs)
    tuning.start(story)
    tuning.plan(story)
    tuning.write_plan(story, tuning.plan_of(fits=False))
    story.finish("failed", "nothing fits", 0)
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, shows(pilot, "✗ No setup fits: the smallest takes ~25.10 of 21.80 GiB"))
        await until(pilot, shows(pilot, "✗ bf16 all", "Nothing fits: take 4-bit weights"))


@pytest.mark.action("choose")
async def test_enter_asks_and_then_another_setup_is_chosen(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = proved(runs)
    asked: list[tuple[RunDir, PlannedSetup]] = []
    monkeypatch.setattr(
        "kocr_tui.screens.tuning.choose", lambda run, setup: asked.append((run, setup))
    )
    app = app_of(story)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.focused, DataTable))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "is the setup in use"))
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, shows(pilot, "Train with nf4, checkpointing all, 10.86 MP?"))
        await until(pilot, shows(pilot, "the run waits"))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert asked == []
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(asked) == 1)
    [(run, setup)] = asked
    assert run.id == story.run.id
    assert (setup.weights, setup.checkpointing, setup.max_pixels) == ("nf4", "all", 10_859_968)


async def test_a_choice_that_cannot_be_made_says_why(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = proved(runs)

    def fail(_run: RunDir, _setup: PlannedSetup) -> None:
        raise KocrError("[bold]the disk is full")

    monkeypatch.setattr("kocr_tui.screens.tuning.choose", fail)
    app = app_of(story)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.focused, DataTable))
        await pilot.press(*["down"] * 7, "enter")
        await until(pilot, shows(pilot, "2.86 MP does not fit"))
        await pilot.press("up", "enter")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, shows(pilot, "[bold]the disk is full"))


async def test_once_training_has_begun_enter_says_so(runs: Path) -> None:
    story = proved(runs, tune_only=False)
    tuning.start(story)
    story.train(3)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await until(pilot, shows(pilot, "step 3/400"))
            await pilot.press("t")
            await until(pilot, lambda: isinstance(app.focused, DataTable))
            await pilot.press("down", "enter")
            await until(pilot, shows(pilot, "Training has begun"))
            assert not isinstance(app.screen, ConfirmScreen)


def test_the_config_asks_for_the_setup_and_nothing_else(runs: Path) -> None:
    config = Story(runs).run.config()
    tune = msgspec.structs.replace(config.tune, hours=12.0, tolerance=0.1)
    setup = tuning.planned("nf4", "4", 3, rank=8, targets="all")
    found = choice.with_setup(msgspec.structs.replace(config, tune=tune), setup)
    assert (found.model.dtype, found.train.checkpointing) == ("nf4", 4)
    assert (found.lora.rank, found.lora.targets, found.lora.alpha) == (8, "all", config.lora.alpha)
    assert (found.tune.max_pixels, found.tune.hours, found.tune.fastest) == (
        setup.max_pixels,
        None,
        False,
    )
    assert found.tune.tolerance == 0.1
    assert found.data == config.data


def test_the_largest_budget_is_searched_for_anew_with_the_setup(runs: Path) -> None:
    config = Story(runs).run.config()
    setup = tuning.planned("nf4", "4", 3)
    found = choice.with_setup(config, setup)
    assert (found.model.dtype, found.train.checkpointing) == ("nf4", 4)
    assert found.tune == config.tune
    assert found.tune.max_pixels is None
    fastest = msgspec.structs.replace(config.tune, fastest=True)
    fixed = choice.with_setup(msgspec.structs.replace(config, tune=fastest), setup)
    assert (fixed.tune.max_pixels, fixed.tune.fastest) == (setup.max_pixels, False)


async def test_choosing_is_offered_while_there_are_setups_and_no_training(runs: Path) -> None:
    story = Story(runs)
    tuning.start(story)
    with worker_of(story.run):
        app = app_of(story)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, shows(pilot, "s stop"))
            assert "choose" not in screen_text(app)
            tuning.plan(story)
            await until(pilot, shows(pilot, "↵ choose"))
            tuning.probe(story, 4)
            tuning.prove(story)
            story.train(3)
            await until(pilot, shows(pilot, "step 3/400"))
            await pilot.press("t")
            await until(pilot, shows(pilot, "▸ bf16 all"))
            await until(pilot, lambda: "choose" not in screen_text(app).splitlines()[-1])


def test_a_setup_that_no_config_may_have_is_refused(runs: Path) -> None:
    config = Story(runs).run.config()
    with pytest.raises(UsageError, match=r"model\.dtype"):
        choice.with_setup(config, tuning.planned("int3", "4", 3))


@pytest.mark.parametrize("tune_only", [True, False])
def test_the_worker_is_started_again_as_it_was(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tune_only: bool
) -> None:
    story = proved(runs, tune_only=tune_only)
    story.run.certificate_file.write_text("{}")
    launched: list[bool] = []
    monkeypatch.setattr(choice, "launch", lambda _run, tune_only: launched.append(tune_only))
    plans = PlanWatch(story.run)
    before = plans.read().setups
    choice.choose(story.run, before[3])
    assert launched == [tune_only]
    config = read_config(story.run.config_file)
    assert (config.model.dtype, config.tune.max_pixels) == (before[3].weights, None)
    assert not story.run.certificate_file.exists()
    assert not story.run.plan_file.exists()
    after = plans.read().setups
    assert after == tuple(msgspec.structs.replace(one, chosen=False) for one in before)
    only = msgspec.structs.replace(before[3], chosen=True, peak="measured", peak_gib=18.0)
    report = msgspec.structs.replace(tuning.plan_of(), choice=only, setups=(only,))
    tuning.write_plan(story, report)
    assert plans.read().setups == (
        only,
        *(one for one in after if one.max_pixels != only.max_pixels),
    )
    choice.choose(story.run, after[0])
    assert len(plans.read().setups) == len(before)


def test_a_run_that_trains_is_left_alone(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = proved(runs)
    story.train(1)
    monkeypatch.setattr(choice, "launch", lambda *_given, **_named: pytest.fail("was started"))
    config = story.run.config_file.read_bytes()
    with pytest.raises(UsageError, match="Training has begun"):
        choice.choose(story.run, tuning.planned("nf4", "4", 3))
    assert story.run.config_file.read_bytes() == config
    assert asked_of(story.run) == []


def test_a_worker_that_stays_leaves_everything_as_it_was(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = probing(runs)
    monkeypatch.setattr(choice, "_PATIENCE_SECONDS", 0.0)
    config = story.run.config_file.read_bytes()
    with worker_of(story.run), pytest.raises(KocrError, match="has not left within"):
        choice.choose(story.run, tuning.planned("nf4", "4", 3))
    [asked] = asked_of(story.run)
    assert asked.request == "abort"
    assert story.run.config_file.read_bytes() == config
    assert story.run.plan_file.exists()


def test_training_that_began_meanwhile_goes_on(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = probing(runs)
    launched: list[RunDir] = []
    monkeypatch.setattr(choice, "launch", launched.append)

    def leave_training(_watched: object) -> None:
        begun = TrainingStarted(step=0, steps=9, epochs=1, samples=9, trainable_parameters=9)
        story.put(begun)

    monkeypatch.setattr(choice, "_send_away", leave_training)
    config = story.run.config_file.read_bytes()
    with worker_of(story.run), pytest.raises(UsageError, match="began meanwhile"):
        choice.choose(story.run, tuning.planned("nf4", "4", 3))
    assert [run.id for run in launched] == [story.run.id]
    assert story.run.config_file.read_bytes() == config


def test_tuning_anew_forgets_what_was_proved_and_a_pause_does_not(runs: Path) -> None:
    story = proved(runs)
    state = watch(story.run).state
    assert (len(state.probes), state.tuned is None) == (4, False)
    tuning.start(story)
    state = watch(story.run).state
    assert state.tuned is not None
    tuning.plan(story, done=1, total=1)
    tuning.probe(story, 1)
    for paused in ("paused", "tuning"):
        story.put(StateChanged(state=paused))
    state = watch(story.run).state
    assert (len(state.probes), state.tuned) == (1, None)
    assert state.planned is not None
    assert state.planned.total == 1


def test_events_of_an_older_version_are_read(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"kind":"worker-started","v":1,"seq":1,"time":1.0,"pid":1,"attempt":1,"device":"cpu",'
        '"card":"CPU","profile":"cpu","capacity_bytes":9,"versions":{}}\n'
        '{"kind":"log","v":1,"seq":2,"time":2.0,"level":"info",'
        '"message":"planned 1 of 4 setups"}\n'
    )
    reader, state = EventReader(file), RunState()
    for event in reader.poll():
        state.apply(event)
    assert reader.problems == []
    assert state.worker is not None
    assert not state.worker.tune_only
    assert [line.message for line in state.log] == ["planned 1 of 4 setups"]


@pytest.mark.parametrize(
    ("language", "line"),
    [("en", "planned 3 of 8 setups\n"), ("ko", "설정 8가지 중 3가지 예측\n")],
)
def test_plain_lines_tell_planning_in_the_language_in_use(
    language: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    printer = _Printer("run")
    printer.show(Planned(done=0, total=8))
    printer.show(Planned(done=3, total=8))
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "probe 1: out of memory: needs more than 20,070 MiB (31 s)"),
        ("ko", "시험 1: 메모리 부족"),
    ],
)
def test_plain_lines_tell_why_a_probe_ended_in_the_language_in_use(
    runs: Path, language: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(runs)
    tuning.probe(story, 1)
    use_language(language)
    for event in story.run.events().poll():
        _Printer("run").show(event)
    assert line in capsys.readouterr().out


class _Cards(Monitor):
    """A card of which a run's worker and a stranger have some; pid 1 is the stranger."""

    def __init__(self, own: int, hidden: bool = False) -> None:
        self._own = own
        self._hidden = hidden

    def visible(self) -> list[Card]:
        return [Card(uuid="GPU-1", used_bytes=6 * GIB, total_bytes=24 * GIB)]

    def card(self, uuid: str) -> Card:
        return Card(uuid=uuid, used_bytes=9 * GIB, total_bytes=24 * GIB)

    def tells_processes(self, uuid: str) -> bool:
        return True

    def processes(self, uuid: str) -> list[Process]:
        stranger = Process(pid=1, used_bytes=None if self._hidden else 2 * GIB)
        return [Process(pid=self._own, used_bytes=4 * GIB), stranger]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("hidden", "others"), [(False, 2 * GIB), (True, None)])
def test_others_are_what_the_runs_session_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, hidden: bool, others: int | None
) -> None:
    sessions = {1: 1, 77: 42}
    monkeypatch.setattr("kocr_tui.reading.others_on_card.os.getsid", sessions.__getitem__)
    monkeypatch.setattr("kocr_tui.reading.others_on_card.Monitor", lambda: _Cards(77, hidden))
    reader = OthersOnCard()
    assert reader.read(42, None) == others
    assert OthersOnCard().read(None, None) == 6 * GIB


@pytest.mark.parametrize(("uuid", "others"), [(None, 2 * GIB), ("GPU-2", 5 * GIB)])
def test_others_are_those_on_the_workers_own_card(
    monkeypatch: pytest.MonkeyPatch, uuid: str | None, others: int
) -> None:
    monkeypatch.setattr("kocr_tui.reading.others_on_card.os.getsid", {1: 1, 77: 42}.__getitem__)
    monkeypatch.setattr("kocr_tui.reading.others_on_card.Monitor", lambda: _Cards(77, False))
    assert OthersOnCard().read(42, uuid) == others
