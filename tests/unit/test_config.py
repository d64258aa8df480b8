"""Configs and their errors: every refusal names the file and the key."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import toml_file
from core.config import (
    Checkpointing,
    DataConfig,
    LoraConfig,
    ModelConfig,
    RunConfig,
    TrainConfig,
    read_config,
)
from core.errors import UsageError

GOOD = """
name = "signs"
[model]
path = "Qwen/Qwen2-VL-2B-Instruct"
[data]
train = "train.jsonl"
validation = "validation.jsonl"
"""


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "run.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_config(file)
    message = str(caught.value)
    assert "\n" not in message
    assert "run.toml" in message
    return message


@pytest.mark.parametrize(
    ("addition", "words"),
    [
        ("[lora]\nrank = 0", ["lora.rank", ">= 1"]),
        ("[lora]\nrank = 'big'", ["lora.rank", "int"]),
        ("[lora]\nrnak = 8", ["lora.rnak", "unknown key"]),
        ("[train]\nmicro_batch_tokens = 0", ["train.micro_batch_tokens", ">= 1"]),
        ("[train]\ncheckpointing = 1", ["train.checkpointing"]),
        ("[model]\ndtype = 'int3'", ["model"]),
        ("[train]\nlearning_rate = -1.0", ["train.learning_rate"]),
        ("[validation]\nshare = 1.5", ["validation.share"]),
        ("[tune]\nmax_pixels = 0", ["tune.max_pixels"]),
        ("[device]\nprofile = ''", ["device.profile"]),
        ("[nonsense]\na = 1", ["nonsense", "unknown key"]),
        ("[lora\nrank = 1", ["not valid TOML", "line"]),
    ],
)
def test_wrong_configs_are_refused_by_key(tmp_path: Path, addition: str, words: list[str]) -> None:
    message = refusal(tmp_path, GOOD + addition)
    for word in words:
        assert word in message


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "validation" in refusal(tmp_path, GOOD.replace('validation = "validation.jsonl"', ""))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"run\.toml: not UTF-8"):
        read_config(file)


def test_relative_paths_are_taken_from_the_configs_folder(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    file = tmp_path / "run.toml"
    file.write_text(GOOD.replace("Qwen/Qwen2-VL-2B-Instruct", "base"), encoding="utf-8")
    config = read_config(file)
    assert config.data.train == str(tmp_path / "train.jsonl")
    assert config.model.path == str(tmp_path / "base")


def test_a_hub_id_stays_a_hub_id(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(GOOD, encoding="utf-8")
    assert read_config(file).model.path == "Qwen/Qwen2-VL-2B-Instruct"


@given(
    rank=st.integers(1, 1024),
    tokens=st.none() | st.integers(1, 10**6),
    checkpointing=st.sampled_from(["none", "all"]) | st.integers(2, 30),
    rate=st.floats(1e-8, 1.0),
    revision=st.none() | st.text("abcdef0123456789", min_size=1, max_size=40),
)
def test_toml_round_trip(
    rank: int, tokens: int | None, checkpointing: Checkpointing, rate: float, revision: str
) -> None:
    config = RunConfig(
        name="간판-1",
        model=ModelConfig(path="모델", revision=revision),
        data=DataConfig(train="a b.jsonl", validation='quote".jsonl'),
        lora=LoraConfig(rank=rank),
        train=TrainConfig(
            micro_batch_tokens=tokens, checkpointing=checkpointing, learning_rate=rate
        ),
    )
    assert toml_file.decode(toml_file.encode(config), RunConfig, "round trip") == config


def test_configs_are_frozen() -> None:
    with pytest.raises(AttributeError):
        LoraConfig().rank = 3  # type: ignore[misc]
    assert msgspec.structs.replace(LoraConfig(), rank=3).rank == 3
