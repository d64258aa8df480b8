"""What reads: a run's checkpoints, an adapter's folder, a base model, and what can't."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from learners import MAX_PIXELS, Signs
from trained_runs import BEST, PROMPTS, TrainedRun, make_trained_run

from core import toml_file
from core.errors import KocrError, UsageError
from core.evaluate.predictions import read_predictions
from core.read.budget import DEFAULT_PIXELS
from core.read.evaluate import evaluate
from core.read.recipe import recipe_of
from core.reading import Evaluation, ReadRequest, Source, Told
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint
from kocr_tui.options.reading_source import source_of


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def trained(signs: Signs) -> TrainedRun:
    return make_trained_run(signs)


@pytest.fixture(autouse=True)
def home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))


def validation(trained: TrainedRun) -> str:
    return trained.run.config().data.validation


def replies(source: Source, out: Path, **asked: Any) -> dict[int, str | None]:
    """What a source reads on the validation rows; ``data`` is where they are if no run knows."""
    work = Evaluation(out=str(out), data=asked.pop("data", None))
    evaluate(ReadRequest(source=source, work=work, **asked), work, lambda *_told: None)
    return {row.row: row.reply for row in read_predictions(out).rows}


def named(name: str, trained: TrainedRun, *, base: bool = False, which: Any = "best") -> Source:
    return source_of(name, trained.run.path.parent, which, base=base)


def test_a_run_reads_as_it_was_trained(trained: TrainedRun, tmp_path: Path) -> None:
    assert trained.adapted != trained.base
    source = named(trained.run.id, trained)
    assert source == Source(run=str(trained.run.path))
    assert replies(source, tmp_path / "adapter") == trained.adapted
    header = read_predictions(tmp_path / "adapter").header
    assert header is not None
    assert header.reader == header.adapter == f"{trained.run.id} step {BEST}"
    assert header.max_pixels == MAX_PIXELS
    assert header.settings["batch"] == PROMPTS
    without = named(trained.run.id, trained, base=True)
    assert replies(without, tmp_path / "base") == trained.base


def test_four_bit_weights_read_as_they_were_trained(
    tiny_model_folder: Path, tmp_path: Path
) -> None:
    trained = make_trained_run(Signs(tmp_path / "home", tiny_model_folder), "nf4")
    source = Source(run=str(trained.run.path))
    assert replies(source, tmp_path / "out") == trained.adapted
    header = read_predictions(tmp_path / "out").header
    assert header is not None
    assert header.settings["weights"] == "nf4"


@pytest.mark.parametrize(("which", "step"), [("best", BEST), ("last", 6), (2, 2)])
def test_a_checkpoint_is_chosen(trained: TrainedRun, which: Any, step: int) -> None:
    recipe = recipe_of(request(named(trained.run.id, trained, which=which)))
    assert recipe.name == f"step-{step}"
    assert recipe.adapter is not None
    assert recipe.adapter.folder == trained.adapter(step)


def request(source: Source, **asked: Any) -> ReadRequest:
    return ReadRequest(source=source, work=Evaluation(), **asked)


def test_a_damaged_checkpoint_reads_nothing(trained: TrainedRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run.path, tmp_path / "run"))
    for step in (6, 4):
        folder = checkpoint.path_of(run / "checkpoints", step)
        (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"")
    recipe = recipe_of(request(Source(run=str(run), checkpoint="last")))
    assert recipe.name == "step-2"
    assert [note.partition(" is ")[0] for note in recipe.notes] == [
        "run: step-00000006",
        "run: step-00000004",
    ]
    with pytest.raises(KocrError, match=r"step-00000004: damaged: .*--checkpoint last"):
        recipe_of(request(Source(run=str(run), checkpoint=4)))
    with pytest.raises(UsageError, match="no checkpoint of step 5; there are: 2, 4, 6"):
        recipe_of(request(Source(run=str(run), checkpoint=5)))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(UsageError, match="no checkpoint is saved yet; --base"):
        recipe_of(request(Source(run=str(run))))


def test_rows_without_a_label_are_left_out_where_the_run_sets_them_aside(
    trained: TrainedRun, tmp_path: Path
) -> None:
    data = Path(validation(trained))
    bad = data.with_name("bad.jsonl")
    bad.write_text("no JSON\n" + data.read_text(encoding="utf-8"), encoding="utf-8")
    run = RunDir(Path(shutil.copytree(trained.run.path, tmp_path / "run")))
    told: list[Told] = []

    def read(bad_rows: Any, out: str) -> None:
        config = run.config()
        rows = msgspec.structs.replace(config.data, validation=str(bad), bad_rows=bad_rows)
        config = msgspec.structs.replace(config, data=rows)
        run.config_file.write_text(toml_file.encode(config), encoding="utf-8")
        work = Evaluation(out=str(tmp_path / out))
        asked = ReadRequest(source=Source(run=str(run.path)), work=work)
        evaluate(asked, work, lambda *heard: told.append(heard[2]))

    with pytest.raises(UsageError, match=r"bad.jsonl row 1: .*mend the row"):
        read("refuse", "refused")
    read("set-aside", "out")
    [note] = [one.note for one in told if one.note is not None]
    assert note.startswith(f"{bad}: rows with no label to score against, left out: 1; ")
    found = {row.row: row.reply for row in read_predictions(tmp_path / "out").rows}
    assert found == {row + 1: reply for row, reply in trained.adapted.items()}


def test_an_untuned_run_needs_a_budget(trained: TrainedRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained.run.path, tmp_path / "run"))
    (run / "certificate.json").unlink()
    with pytest.raises(UsageError, match=r"never tuned.*--max-pixels"):
        recipe_of(request(Source(run=str(run))))
    assert recipe_of(request(Source(run=str(run)), max_pixels=9)).max_pixels == 9


def test_an_adapter_elsewhere_reads_the_same(trained: TrainedRun, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.adapter(BEST), tmp_path / "mine"))
    source = named(str(folder), trained)
    assert source == Source(adapter=str(folder))
    asked = {"data": validation(trained), "max_pixels": MAX_PIXELS}
    found = replies(source, tmp_path / "out", **asked)
    assert found.keys() == trained.adapted.keys()
    # The run's replies end after eight tokens, these after sixty-four.
    for row, reply in trained.adapted.items():
        assert (found[row] or "").startswith((reply or "").rstrip("\ufffd"))


def bounded(folder: Path, most: object) -> None:
    """Writes what a processor may take of a photo, as exports do."""
    file = folder / "preprocessor_config.json"
    own = json.loads(file.read_text()) if file.exists() else {}
    own["size"] = {"shortest_edge": 3136, "longest_edge": most}
    file.write_text(json.dumps(own))


@pytest.mark.parametrize(
    ("most", "budget"),
    [(200_704, 200_704), (12_845_056, DEFAULT_PIXELS), ("no number", DEFAULT_PIXELS)],
)
def test_a_folders_own_budget_is_taken_unless_it_is_none(
    trained: TrainedRun, tiny_model_folder: Path, tmp_path: Path, most: object, budget: int
) -> None:
    folder = Path(shutil.copytree(trained.adapter(BEST), tmp_path / "adapter"))
    own = json.loads((folder / "adapter_config.json").read_text())
    base = Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))
    bounded(base, 12_845_056)
    own["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(own))
    bounded(folder, most)
    source = named(str(folder), trained)
    assert recipe_of(request(source)).max_pixels == budget
    assert recipe_of(request(source, max_pixels=784)).max_pixels == 784
    if isinstance(most, int):
        bounded(base, most)
        assert recipe_of(request(named(str(base), trained))).max_pixels == budget


def test_an_adapter_within_a_run_is_its_checkpoint(trained: TrainedRun) -> None:
    found = named(str(trained.adapter(2)), trained)
    assert found == Source(run=str(trained.run.path), checkpoint=2)


def changed_config(**changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "adapter_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def without_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (changed_config(peft_type="IA3", feedforward_modules=[]), "only LoRA adapters are read"),
        (changed_config(peft_type="NEXT"), "not an adapter's config"),
        (changed_config(init_lora_weights="pissa"), "'pissa' changes the base's weights"),
        (changed_config(base_model_name_or_path="/gone"), "its base /gone is not there"),
        (changed_config(base_model_name_or_path=None), "base_model_name_or_path is missing"),
        (without_weights, "pickled weights are not opened"),
    ],
)
def test_what_is_no_adapter_of_ours_is_told(
    trained: TrainedRun, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    folder = Path(shutil.copytree(trained.adapter(BEST), tmp_path / "mine"))
    spoil(folder)
    with pytest.raises(UsageError, match=words):
        recipe_of(request(named(str(folder), trained)))


@pytest.mark.parametrize(
    "change", [{"r": 8}, {"target_modules": "nothing"}, {"target_modules": ["lm_head"]}]
)
def test_an_adapter_of_another_base_is_told(
    trained: TrainedRun, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(trained.adapter(BEST), tmp_path / "mine"))
    changed_config(**change)(folder)
    with pytest.raises(UsageError, match="mine: not an adapter of its base: "):
        replies(
            named(str(folder), trained), tmp_path / "out", data=validation(trained), max_pixels=9
        )


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("nowhere", {}, "nowhere: no such run"),
        (".", {}, "no run, adapter or model: it has none of adapter_config.json"),
        ("org/model", {"which": "last"}, "only a run has checkpoints"),
        ("org/model", {"base": True}, "a base model already"),
        ("./model", {}, "./model: no such folder"),
    ],
)
def test_what_can_not_read_is_told(
    trained: TrainedRun,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    asked: Any,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        named(name, trained, **asked)


def test_a_hub_id_is_a_model(trained: TrainedRun) -> None:
    assert named("Qwen/Qwen2-VL-2B-Instruct", trained) == Source(model="Qwen/Qwen2-VL-2B-Instruct")
