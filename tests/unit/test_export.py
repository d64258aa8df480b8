"""Exports are, to the byte, the adapter and the merged weights that were in memory."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from exported import exported, trained, without_a_process
from learners import MAX_PIXELS, Signs
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_models import COMMIT, hub_of_one
from transformers import AutoImageProcessor, AutoModelForImageTextToText

from core.config import Targets
from core.errors import KocrError
from core.export import exporter
from core.export.plain_reader import digest
from core.exporting import EXPORT_FILE, Export
from core.file_record import record_of
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint

Make = Callable[..., RunDir]


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def run_of(signs: Signs) -> Make:
    """A run by number format and targets, trained once."""

    @cache
    def make(dtype: str = "fp32", targets: Targets = "language") -> RunDir:
        return trained(signs, dtype=dtype, targets=targets)

    return make


@pytest.fixture(autouse=True)
def home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    without_a_process(monkeypatch)


def adapter_of(run: RunDir, step: int = 1) -> Path:
    return checkpoint.path_of(run.checkpoints, step) / checkpoint.ADAPTER_FOLDER


def tensors(model: Any) -> dict[str, str]:
    return {name: digest(value) for name, value in model.state_dict().items()}


def merged_by_hand(base: Path, run: RunDir, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """The base's weights with B @ A * alpha / rank added, as published (arXiv 2106.09685)."""
    stock = AutoModelForImageTextToText.from_pretrained(base, dtype=dtype).state_dict()
    adapter = load_file(adapter_of(run) / "adapter_model.safetensors")
    for name, a in adapter.items():
        if ".lora_A." in name:
            b = adapter[name.replace(".lora_A.", ".lora_B.")]
            layer = name.removeprefix("base_model.model.").replace(".lora_A", "")
            stock[layer] = (stock[layer].float() + b @ a * 32 / 4).to(dtype)
    return stock


@pytest.mark.parametrize(
    ("dtype", "targets", "format_"),
    [
        ("fp32", "language+merger", torch.float32),
        ("bf16", "all", torch.bfloat16),
        ("nf4", "language", torch.float32),
    ],
)
def test_a_merged_folder_is_the_sum_and_loads_as_it_was_in_memory(
    dtype: str, targets: Targets, format_: torch.dtype, run_of: Make, tmp_path: Path,
    tiny_model_folder: Path,
) -> None:  # fmt: skip
    run = run_of(dtype, targets)
    report = exported(run, tmp_path / "out", merge=True)
    made = report.export
    assert (made.kind, made.step, made.best, made.weights) == ("merged", 1, True, dtype)
    assert made.verified is not None
    assert (made.verified.rows, made.verified.weights) == (2, dtype)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == format_
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    found, wanted = model.state_dict(), merged_by_hand(tiny_model_folder, run, format_)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert stored.keys() == load_file(tiny_model_folder / "model.safetensors").keys()


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_other_families_are_merged_with_all_their_layers(
    family: str, tiny_families: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signs = Signs(tmp_path, tiny_families[family])
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    run = trained(signs, targets="all")
    made = exported(run, tmp_path / "out", merge=True).export
    assert made.verified is not None
    assert (made.verified.rows, made.verified.changed) == (2, 0)
    wanted = merged_by_hand(tiny_families[family], run, torch.float32)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "out", dtype="auto")
    for name, value in model.state_dict().items():
        assert torch.equal(value, wanted[name]), name


@pytest.mark.parametrize("dtype", ["bf16", "nf4"])
def test_an_adapter_is_the_checkpoints_with_the_base_it_belongs_to(
    dtype: str, run_of: Make, tmp_path: Path, tiny_model_folder: Path
) -> None:
    run = run_of(dtype, "language" if dtype == "nf4" else "all")
    made = exported(run, tmp_path / "out", checkpoint="last").export
    assert (made.kind, made.step, made.best) == ("adapter", 2, False)
    assert made.verified is not None
    assert made.verified.rows == 2
    names = {path.name for path in (tmp_path / "out").iterdir()}
    weights = "adapter_model.safetensors"
    assert names == {weights, "adapter_config.json", "README.md", EXPORT_FILE}
    assert (tmp_path / "out" / weights).read_bytes() == (adapter_of(run, 2) / weights).read_bytes()
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == str(tiny_model_folder)
    assert (config["revision"], config["inference_mode"]) == (None, True)
    base = AutoModelForImageTextToText.from_pretrained(tiny_model_folder)
    before = tensors(PeftModel.from_pretrained(base, adapter_of(run, 2)))
    base = AutoModelForImageTextToText.from_pretrained(tiny_model_folder)
    assert tensors(PeftModel.from_pretrained(base, tmp_path / "out")) == before


def test_a_base_of_the_hub_is_named_with_its_commit_and_had_offline(
    tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = hub_of_one(tiny_model_folder, tmp_path / "hub", monkeypatch)
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n")
    signs = Signs(tmp_path / "home", Path("some/sign-reader"))
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    run = trained(signs)
    made = exported(run, tmp_path / "lora").export
    assert (made.base, made.revision) == ("some/sign-reader", COMMIT)
    config = json.loads((tmp_path / "lora" / "adapter_config.json").read_bytes())
    assert config["base_model_name_or_path"] == "some/sign-reader"
    assert config["revision"] == COMMIT
    card = (tmp_path / "lora" / "README.md").read_text(encoding="utf-8")
    assert 'license: "mit"\nbase_model: "some/sign-reader"\nbase_model_relation: adapter' in card
    merged = exported(run, tmp_path / "merged", merge=True).export
    assert merged.verified is not None
    assert merged.files.keys() >= {"tokenizer.json", "preprocessor_config.json"}


def test_other_tools_read_at_the_trained_size_and_greedily(run_of: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = exported(run_of(), out, merge=True, verify=False).export
    assert made.max_pixels == MAX_PIXELS
    config = json.loads((out / "preprocessor_config.json").read_bytes())
    bounds = {"shortest_edge": made.min_pixels, "longest_edge": MAX_PIXELS}
    assert config["size"] == bounds
    assert (config["min_pixels"], config["max_pixels"]) == tuple(bounds.values())
    assert dict(AutoImageProcessor.from_pretrained(out).size) == bounds
    generation = json.loads((out / "generation_config.json").read_bytes())
    assert (generation["do_sample"], generation["repetition_penalty"]) == (False, 1.0)
    assert generation["max_new_tokens"] == 8


def test_export_json_tells_of_every_file(run_of: Make, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = exported(run_of(), out, merge=True, verify=False)
    told = msgspec.json.decode((out / EXPORT_FILE).read_bytes(), type=Export)
    assert told == report.export
    assert told.files == {
        path.name: record_of(path) for path in out.iterdir() if path.name != EXPORT_FILE
    }
    assert told.verified is None
    weights = adapter_of(run_of()) / "adapter_model.safetensors"
    assert told.adapter_sha256 == record_of(weights).sha256


def test_what_merging_changes_is_counted(
    run_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter that is lost in merging changes every reply, and is no failure to write."""
    with_adapter = exporter.with_adapter

    def loud(source: Any, weights: str) -> Any:
        model = with_adapter(source, weights)
        for name, value in model.named_parameters():
            if ".lora_B." in name:
                value.data *= 50
        return model

    monkeypatch.setattr(exporter, "with_adapter", loud)
    made = exported(run_of(), tmp_path / "out", merge=True).export
    assert made.verified is not None
    assert made.verified.changed > 0
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert f"merging it changed {made.verified.changed} of 2 replies" in card


def damage_weights(files: Path) -> str:
    file = files / "model.safetensors"
    found = load_file(file)
    name = next(key for key in found if key.endswith("layers.1.mlp.up_proj.weight"))
    found[name][0, 0] += 1
    save_file(found, file, metadata={"format": "pt"})
    return name


def damage_budget(files: Path) -> str:
    file = files / "preprocessor_config.json"
    file.write_text(file.read_text().replace(str(MAX_PIXELS), str(MAX_PIXELS // 2)))
    return "validation photo"


def damage_generation(files: Path) -> str:
    file = files / "generation_config.json"
    file.write_text(file.read_text().replace('"max_new_tokens": 8', '"max_new_tokens": 2'))
    return "the reply"


@pytest.mark.parametrize("damage", [damage_weights, damage_budget, damage_generation])
def test_what_is_not_as_it_was_in_memory_is_not_kept(
    damage: Callable[[Path], str], run_of: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[str] = []
    real = exporter.write_merged

    def write_badly(model: Any, source: Any, files: Path) -> None:
        real(model, source, files)
        named.append(damage(files))

    monkeypatch.setattr(exporter, "write_merged", write_badly)
    with pytest.raises(KocrError, match="not what was in memory") as caught:
        exported(run_of(), tmp_path / "out", merge=True)
    assert named[0] in str(caught.value)
    assert list(tmp_path.iterdir()) == []
