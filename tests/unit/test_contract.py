"""What a run was begun with against what is there now: every kind of difference, and none."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import differences
from core.config import DataConfig, ModelConfig, RunConfig
from core.contract import (
    CONFIG_KEYS,
    Contract,
    ModelIdentity,
    RowsIdentity,
    compare,
    compared_keys,
    dotted_keys,
    names_of,
    read_contract,
    refusal,
    write_contract,
)
from core.differences import NAMES, allowed_in
from core.errors import UsageError
from core.run_dir import RunDir, create_run

CONFIG = RunConfig(
    name="signs", model=ModelConfig(path="m"), data=DataConfig(train="a", validation="b")
)
ROWS = RowsIdentity(
    file="train.jsonl", rows=138_149, set_aside=2, source="s", texts="t" * 64, photos="p" * 64
)
BEGUN = Contract(
    config=compared_keys(CONFIG),
    train=ROWS,
    validation=msgspec.structs.replace(ROWS, file="validation.jsonl", rows=17_272),
    model=ModelIdentity(path="/models/a", files={"config.json": "1", "model.safetensors": "2"}),
    order=1,
    versions={"torch": "2.9.0", "peft": "0.18.0"},
    device="cuda 8.9",
    setup={"weights": "bf16", "max_pixels": 802_816, "micro_batch_tokens": 4096},
)


def with_config(**values: object) -> Contract:
    changed = {key.replace("__", "."): value for key, value in values.items()}
    return msgspec.structs.replace(BEGUN, config={**BEGUN.config, **changed})


def with_device(device: str) -> Contract:
    return msgspec.structs.replace(BEGUN, device=device)


def test_every_key_of_the_config_is_decided_on() -> None:
    assert set(CONFIG_KEYS) == set(dotted_keys(CONFIG))
    assert set(CONFIG_KEYS.values()) <= {*NAMES, ""}


@pytest.mark.parametrize(
    ("now", "name", "before_words", "now_words"),
    [
        (
            with_config(train__learning_rate=2e-4),
            "config-changed",
            "train.learning_rate = 0.0001",
            "train.learning_rate = 0.0002",
        ),
        (with_config(train__epochs=0), "config-changed", "train.epochs = 1", "train.epochs = 0"),
        (
            with_config(device__processes=2),
            "processes-changed",
            "device.processes = 1",
            "device.processes = 2",
        ),
        (
            with_config(validation__selection_rows=8),
            "validation-changed",
            "validation.selection_rows = 64",
            "validation.selection_rows = 8",
        ),
        (
            msgspec.structs.replace(BEGUN, train=msgspec.structs.replace(ROWS, texts="u" * 64)),
            "data-changed",
            "train.jsonl: 138,149 rows (2 set aside), texts tttttttttttt, photos pppppppppppp",
            "train.jsonl: 138,149 rows (2 set aside), texts uuuuuuuuuuuu, photos pppppppppppp",
        ),
        (
            msgspec.structs.replace(
                BEGUN, validation=msgspec.structs.replace(BEGUN.validation, photos="q" * 64)
            ),
            "validation-changed",
            "validation.jsonl: 17,272 rows (2 set aside), texts tttttttttttt, photos pppppppppppp",
            "validation.jsonl: 17,272 rows (2 set aside), texts tttttttttttt, photos qqqqqqqqqqqq",
        ),
        (
            msgspec.structs.replace(
                BEGUN, model=ModelIdentity(path="/models/a", files={"config.json": "1"})
            ),
            "model-changed",
            "model.safetensors 2",
            "model.safetensors –",
        ),
        (
            msgspec.structs.replace(BEGUN, model=ModelIdentity(path="Qwen/x", commit="c1")),
            "model-changed",
            "the folder /models/a",
            "Qwen/x at its newest (c1)",
        ),
        (
            msgspec.structs.replace(BEGUN, setup={**BEGUN.setup, "max_pixels": 1000}),
            "setup-changed",
            "max_pixels 802816",
            "max_pixels 1000",
        ),
        (msgspec.structs.replace(BEGUN, order=2), "order-changed", "order 1", "order 2"),
        (
            msgspec.structs.replace(BEGUN, versions={"torch": "2.9.1", "peft": "0.18.0"}),
            "versions-changed",
            "torch 2.9.0",
            "torch 2.9.1",
        ),
        (
            msgspec.structs.replace(BEGUN, device="cuda 8.0"),
            "device-changed",
            "cuda 8.9",
            "cuda 8.0",
        ),
        (msgspec.structs.replace(BEGUN, device="cpu"), "device-changed", "cuda 8.9", "cpu"),
    ],
)
def test_a_difference_is_named_with_before_and_now(
    now: Contract, name: str, before_words: str, now_words: str
) -> None:
    [found] = compare(BEGUN, now)
    assert (found.name, found.before, found.now) == (name, before_words, now_words)
    said = refusal(RunDir(Path("/runs/20261125-signs")), (found,))
    assert said == (
        f"20261125-signs: {name}: {now_words} (was {before_words}); put it back, or: "
        f"kocr-tui resume 20261125-signs --allow {name}"
    )


@pytest.mark.parametrize(
    "now",
    [
        BEGUN,
        with_config(train__epochs=5),
        msgspec.structs.replace(BEGUN, setup={}),
        with_device("cuda"),
        msgspec.structs.replace(
            BEGUN, train=msgspec.structs.replace(ROWS, file="moved.jsonl", source="x", set_aside=3)
        ),
        msgspec.structs.replace(
            BEGUN, model=msgspec.structs.replace(BEGUN.model, path="/elsewhere/a")
        ),
    ],
)
def test_what_does_not_decide_the_numbers_is_no_difference(now: Contract) -> None:
    assert compare(BEGUN, now) == ()


def test_a_revision_of_the_hub_is_compared_by_its_commit() -> None:
    def at(commit: str | None, asked: str | None) -> Contract:
        model = ModelIdentity(path="Qwen/x", commit=commit, asked=asked)
        return msgspec.structs.replace(BEGUN, model=model)

    assert compare(at("c1", None), at("c1", None)) == ()
    assert names_of(compare(at("c1", None), at("c2", "v2"))) == ("model-changed",)
    # Where the commit wasn't told at first there is nothing to compare it with.
    assert compare(at(None, None), at("c1", None)) == ()
    assert names_of(compare(at(None, None), at("c1", "v2"))) == ("model-changed",)


@given(
    st.dictionaries(
        st.sampled_from([key for key in CONFIG_KEYS if CONFIG_KEYS[key] and key != "train.epochs"]),
        st.text(max_size=4),
    )
)
def test_all_changed_keys_are_told_and_no_others(changed: dict[str, str]) -> None:
    now = msgspec.structs.replace(BEGUN, config={**BEGUN.config, **changed})
    found = compare(BEGUN, now)
    assert {one.before.split(" = ")[0] for one in found} == set(changed)
    assert all(one.name == CONFIG_KEYS[one.before.split(" = ")[0]] for one in found)


def test_many_differences_stay_one_line_with_every_name() -> None:
    now = msgspec.structs.replace(
        with_config(train__seed=9, train__batch=3, device__processes=2), order=2, device="cpu"
    )
    said = refusal(RunDir(Path("/runs/r")), compare(BEGUN, now))
    assert "\n" not in said
    assert "and 2 more" in said
    for name in ("config-changed", "processes-changed", "order-changed", "device-changed"):
        assert said.count(f"--allow {name}") == 1


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = create_run(tmp_path, CONFIG)
    assert read_contract(run) is None
    write_contract(run, BEGUN)
    assert read_contract(run) == BEGUN
    run.contract_file.write_bytes(b"{")
    with pytest.raises(UsageError, match=r"contract\.json: can't be read"):
        read_contract(run)


def test_names_are_taken_from_arguments_and_unknown_ones_refused_with_the_list() -> None:
    given_names = ["RUN", "--allow=data-changed,order-changed", "--allow=config-changed"]
    assert allowed_in(given_names) == {"data-changed", "order-changed", "config-changed"}
    assert allowed_in(["RUN"]) == frozenset()
    with pytest.raises(UsageError, match=r"data-changed, .*'weather-changed'"):
        allowed_in(["RUN", "--allow=weather-changed"])
    assert differences.UNREADABLE in NAMES
