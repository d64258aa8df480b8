"""A real job held to its contract: what is observed, refused, allowed and kept."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from checkpoints import save_some
from learners import Signs, events_of, setup_of

from core import toml_file
from core.config import ModelConfig, RunConfig, read_config
from core.contract import Keys, read_contract, write_contract
from core.data.identity import rows_identity
from core.errors import UsageError
from core.evaluate.rolling import RollingState
from core.evaluate.text import Scores, score
from core.event_log import EventWriter
from core.events import Differed, Log, ResumeRefused
from core.model.identity import model_identity
from core.profile import load_profile
from core.run_dir import RunDir
from core.train.checkpoints.checkpoint import Best, TrainerState, under
from core.train.control import Control
from core.train.job import Job, open_job
from core.train.numbers import Numbers
from core.train.resumption import Resumption
from core.train.validation import ValidationState


@pytest.fixture
def signs(tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Signs:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    return Signs(tmp_path, tiny_model_folder)


def begin(job: Job, *allowed: str) -> Job:
    """What a worker does before it trains."""
    resumption = Resumption(job, job.config.model.revision, frozenset(allowed))
    held = resumption.settle(setup_of(job, 200))
    held.begin()
    return held


def again(run: RunDir, **train: Any) -> Job:
    """The run as the next worker opens it, after some keys of its config were edited."""
    config = toml_file.read(run.config_file, RunConfig)
    edited = msgspec.structs.replace(config, train=msgspec.structs.replace(config.train, **train))
    run.config_file.write_text(toml_file.encode(edited), encoding="utf-8")
    events = EventWriter(run.events_file)
    return open_job(
        run, read_config(run.config_file), load_profile("cpu"), events, Control(run, events)
    )


def test_the_contract_is_written_when_training_begins_and_holds(signs: Signs) -> None:
    job = signs.job()
    assert read_contract(job.run) is None
    keys = begin(job).keys
    written = job.run.contract_file.read_bytes()
    assert begin(again(job.run)).keys == keys
    assert job.run.contract_file.read_bytes() == written
    assert not [event for event in events_of(job.run) if isinstance(event, Differed)]


def test_a_difference_is_refused_told_then_allowed_and_kept(signs: Signs) -> None:
    first = begin(signs.job())
    run = first.run
    with pytest.raises(UsageError, match=r"train\.seed = 4 \(was train\.seed = 3\)"):
        begin(again(run, seed=4), "data-changed")
    [refused] = [event for event in events_of(run) if isinstance(event, ResumeRefused)]
    assert [one.name for one in refused.differences] == ["config-changed"]
    keys = begin(again(run), "config-changed").keys
    assert first.keys.trains_otherwise(keys)
    assert first.keys.reads_otherwise(keys), "the seed chooses the rows that are read"
    [differed] = [event for event in events_of(run) if isinstance(event, Differed)]
    assert differed.differences == refused.differences
    assert begin(again(run)).keys == keys


def test_raised_epochs_go_on_and_are_what_later_workers_are_held_to(signs: Signs) -> None:
    first = begin(signs.job(epochs=1))
    run = first.run
    assert begin(again(run, epochs=3)).keys == first.keys
    with pytest.raises(UsageError, match=r"train\.epochs = 2 \(was train\.epochs = 3\)"):
        begin(again(run, epochs=2))


def test_fewer_epochs_than_are_done_end_in_one_line(signs: Signs) -> None:
    run = begin(signs.job(epochs=3)).run
    save_some(run.checkpoints, 6)
    with pytest.raises(UsageError, match=r"ends at step 4, but 6 steps are done; raise it to 2"):
        begin(again(run, epochs=1), "config-changed")


def test_another_rank_cannot_be_allowed_once_there_is_a_checkpoint(signs: Signs) -> None:
    run = begin(signs.job()).run
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace("rank = 4", "rank = 8"), encoding="utf-8")
    save_some(run.checkpoints, 2)
    with pytest.raises(UsageError, match=r"lora\.rank = 8: .* begun with 4, which can't change"):
        begin(again(run), "config-changed")


def test_a_run_of_an_earlier_version_goes_on_and_says_so(signs: Signs) -> None:
    run = begin(signs.job()).run
    run.contract_file.unlink()
    save_some(run.checkpoints, 2)
    begin(again(run))
    assert read_contract(run) is not None
    said = [event.message for event in events_of(run) if isinstance(event, Log)]
    assert any("an earlier version began this run" in message for message in said)


def test_a_contract_that_cannot_be_read_is_a_difference_of_its_own(signs: Signs) -> None:
    run = begin(signs.job()).run
    run.contract_file.write_bytes(b"\x00")
    with pytest.raises(UsageError, match="contract-unreadable"):
        begin(again(run))
    begin(again(run), "contract-unreadable")
    assert read_contract(run) is not None


def test_another_setup_is_refused_once_tuning_has_chosen_it(signs: Signs) -> None:
    run = begin(signs.job()).run
    contract = read_contract(run)
    assert contract is not None
    setup = {**contract.setup, "max_pixels": 784}
    write_contract(run, msgspec.structs.replace(contract, setup=setup))
    resumption = Resumption(again(run), None, frozenset())
    with pytest.raises(UsageError, match=r"setup-changed: max_pixels \d+ \(was max_pixels 784\)"):
        resumption.settle(setup_of(signs.job(), 200))


def test_a_moved_model_keeps_its_certificate_by_its_first_path(
    signs: Signs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    run = begin(signs.job()).run
    moved = tmp_path / "elsewhere"
    shutil.copytree(tiny_model_folder, moved)
    text = run.config_file.read_text(encoding="utf-8")
    run.config_file.write_text(text.replace(str(tiny_model_folder), str(moved)), encoding="utf-8")
    held = begin(again(run))
    assert held.config.model.path == str(moved)
    assert held.proved_config.model.path == str(tiny_model_folder)


def test_rows_are_the_same_wherever_they_lie_and_however_they_are_written(signs: Signs) -> None:
    rows = signs.job().train_rows
    before = rows_identity(rows)
    moved = signs.home / "moved"
    (signs.home / "signs").rename(moved)
    file = moved / "train.jsonl"
    file.write_bytes(b"\n" + file.read_bytes().replace(b'"messages":', b'"messages" : '))
    shutil.copytree(moved, signs.home / "signs")
    now = rows_identity(signs.job().train_rows)
    assert (now.rows, now.texts, now.photos) == (before.rows, before.texts, before.photos)
    assert now.source != before.source


def test_texts_are_not_read_again_from_a_file_that_is_the_same(signs: Signs) -> None:
    rows = signs.job().train_rows
    known = msgspec.structs.replace(rows_identity(rows), texts="as known")
    assert rows_identity(rows, known).texts == "as known"
    other = msgspec.structs.replace(known, source="another file")
    assert rows_identity(rows, other).texts == rows_identity(rows).texts


def test_an_edited_answer_and_a_replaced_photo_are_seen(signs: Signs) -> None:
    rows = signs.job().train_rows
    before = rows_identity(rows)
    with Path(rows.photos[0]).open("ab") as photo:
        photo.write(b"\0")
    replaced = rows_identity(rows)
    assert (replaced.texts, replaced.photos == before.photos) == (before.texts, False)
    text = rows.path.read_text(encoding="utf-8")
    rows.path.write_text(text.replace(rows[0].answer, "다른 가게", 1), encoding="utf-8")
    edited = rows_identity(signs.job().train_rows)
    assert edited.texts != before.texts


@pytest.mark.parametrize("size", [1 << 10, (64 << 20) + 1])
def test_a_changed_weight_is_seen_in_small_files_and_in_large_ones(
    tmp_path: Path, size: int
) -> None:
    weights = tmp_path / "model.safetensors"
    with weights.open("wb") as file:
        file.truncate(size)
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    before = model_identity(ModelConfig(path=str(tmp_path)), None).files
    with weights.open("r+b") as file:
        file.seek(size - 1)
        file.write(b"1")
    now = model_identity(ModelConfig(path=str(tmp_path)), None).files
    assert {name for name in before if before[name] != now[name]} == {"model.safetensors"}


def test_with_other_validation_rows_scores_are_forgotten_and_times_are_kept() -> None:
    row = score("원마트", "원마트")
    state = TrainerState(
        step=7,
        validation=ValidationState(
            rolling=RollingState(position=5, scores=(row,)),
            trained_s=9.0,
            slices_s=1.0,
            selections_s=2.0,
        ),
        best=Best(step=4, scores=Scores.of([row])),
        numbers=Numbers(back_at=3, passed_over=(5,)),
        keys=Keys(training="a", validation="b"),
    )
    assert under(state, Keys(training="a", validation="b")) == state
    assert under(state, Keys()) == state
    forgotten = under(state, Keys(training="a", validation="c"))
    assert forgotten.numbers == state.numbers
    assert forgotten.best is None
    assert forgotten.validation.rolling == RollingState(position=0, scores=())
    assert (forgotten.step, forgotten.validation.trained_s) == (7, 9.0)
    otherwise = under(state, Keys(training="d", validation="b"))
    assert (otherwise.numbers, otherwise.best) == (Numbers(), state.best)


def test_a_model_of_the_hub_is_its_commit() -> None:
    found = model_identity(ModelConfig(path="Qwen/none", revision="abc"), "main")
    assert (found.commit, found.asked, found.files) == ("abc", "main", {})
