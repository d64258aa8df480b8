"""Loading says in one line what stands in the way; sizes are known before loading."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import errors as hub
from safetensors.torch import load_file, save_file
from tiny_models import COMMIT, hub_of_one

from core.config import ModelConfig
from core.errors import KocrError, UsageError
from core.model import load
from core.model.families import QWEN2_VL
from core.model.flops import StepFlops, Work
from core.model.presets import PRESETS, preset_config, preset_model
from core.profile import GIB

# As counted by the hub from each model's published weights.
PARAMETERS = {
    "Qwen2-VL-2B": 2_208_985_600,
    "Qwen2-VL-7B": 8_291_375_616,
    "Qwen2.5-VL-3B": 3_754_622_976,
    "Qwen2.5-VL-7B": 8_292_166_656,
    "Qwen3-VL-2B": 2_127_532_032,
    "Qwen3-VL-4B": 4_437_815_808,
    "Qwen3-VL-8B": 8_767_123_696,
}


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_preset_has_the_published_number_of_parameters() -> None:
    assert set(PRESETS) == set(PARAMETERS)
    for name in PRESETS:
        model = preset_model(name, torch.bfloat16, "meta")
        assert sum(value.numel() for value in model.parameters()) == PARAMETERS[name]


def test_an_unknown_architecture_is_refused_with_the_known_ones(folder: Path) -> None:
    assert "Qwen2-VL-2B" in refusal(preset_config, "Qwen9")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "llava"
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    message = refusal(load.open_config, ModelConfig(path=str(folder)))
    assert "'llava' is not one of: qwen2_vl, qwen2_5_vl, qwen3_vl" in message


def test_weight_bytes_are_those_of_the_loaded_model(folder: Path) -> None:
    config, family = load.open_config(ModelConfig(path=str(folder)))
    for weights, compute in (("fp32", "fp32"), ("bf16", "bf16"), ("nf4", "bf16")):
        model = load.load_model(ModelConfig(path=str(folder)), family, weights, compute)
        held = sum(value.numel() * value.element_size() for value in model.parameters())
        # Beside 4-bit weights lie their scales, which aren't parameters.
        tolerance = 0.1 if weights == "nf4" else 0
        assert load.weight_bytes(config, weights, compute) == pytest.approx(held, rel=tolerance)


def test_weights_that_do_not_fit_are_refused_before_loading() -> None:
    config = preset_config("Qwen2-VL-7B")
    model = ModelConfig(path="Qwen/Qwen2-VL-7B-Instruct")
    room = int(12 * GIB)
    with pytest.raises(KocrError) as caught:
        load.check_weights_fit(model, config, "bf16", "bf16", limit_bytes=room, device="cuda")
    assert "15.7 GiB in bf16, of 12.0 GiB" in str(caught.value)
    assert '"nf4"' in str(caught.value)
    load.check_weights_fit(model, config, "nf4", "bf16", limit_bytes=room, device="cuda")


def test_a_missing_file_a_missing_weight_and_a_wrong_shape_are_named(folder: Path) -> None:
    model = ModelConfig(path=str(folder))
    tensors = load_file(folder / "model.safetensors")
    name = next(key for key in tensors if key.endswith("layers.0.mlp.up_proj.weight"))
    save_file({k: v for k, v in tensors.items() if k != name}, folder / "model.safetensors")
    assert "layers.0.mlp.up_proj.weight" in refusal(
        load.load_model, model, QWEN2_VL, "fp32", "fp32"
    )
    save_file({**tensors, name: torch.zeros(3, 5)}, folder / "model.safetensors")
    assert "can't load the weights" in refusal(load.load_model, model, QWEN2_VL, "fp32", "fp32")
    (folder / "model.safetensors").unlink()
    assert "can't load the weights" in refusal(load.load_model, model, QWEN2_VL, "fp32", "fp32")


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full"),
        (OSError(13, "Permission denied"), "no permission"),
        (hub.LocalEntryNotFoundError("offline"), "the hub can't be reached"),
        (ValueError("something else"), "could not load"),
    ],
)
def test_causes_are_told_in_plain_words(
    cause: Exception, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("could not load") from cause

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", fail)
    assert words in refusal(load.open_config, ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct"))


def test_a_hub_id_without_a_network_is_told() -> None:
    message = refusal(load.open_config, ModelConfig(path="Qwen/no-such-model-here"))
    assert message.startswith("Qwen/no-such-model-here: can't read the model's config")


def test_a_model_of_the_hub_is_pinned_to_its_commit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_of_one(folder, tmp_path / "hub", monkeypatch)
    for revision in (None, "main", COMMIT):
        model = ModelConfig(path="some/sign-reader", revision=revision)
        load.open_config(model)
        assert load.pin(model).revision == COMMIT
    assert load.pin(ModelConfig(path=str(folder))).revision is None


def test_flops_of_the_2b_are_those_worked_out_by_hand() -> None:
    base = preset_model("Qwen2-VL-2B", torch.bfloat16, "meta")
    flops = StepFlops.of(base, trains_vision=False)
    attention = 1536 * 1536 * 2 + 1536 * 256 * 2
    assert flops.token == 28 * (attention + 3 * 1536 * 8960)
    assert flops.pair == 28 * 1536
    merger = 5120 * 5120 + 5120 * 1536
    block = 1280 * 3840 + 1280 * 1280 + 2 * 1280 * 5120
    assert flops.patch == 32 * block + merger // 4 + 1280 * 3 * 2 * 14 * 14
    assert flops.photo_pair == 32 * 2 * 1280
    assert flops.window_pair == 0
    assert flops.label == 1536 * 151_936
    work = Work(tokens=1000, pairs=1000**2, patches=3600, photo_pairs=3600**2, labels=10)
    language = 4 * (1000 * flops.token + 10 * flops.label) + 6 * flops.pair * 1000**2
    tower = 2 * (3600 * flops.patch + 3600**2 * flops.photo_pair)
    assert flops(work) == language + tower


def test_only_whole_photo_layers_of_qwen_2_5_are_counted_whole() -> None:
    flops = StepFlops.of(preset_model("Qwen2.5-VL-3B", torch.bfloat16, "meta"), trains_vision=False)
    assert flops.photo_pair == 4 * 2 * 1280
    assert flops.window_pair == 28 * 2 * 1280
