"""What can't be exported is told in one line, and nothing is written."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from checkpoints import reseal
from exported import exported, trained, without_a_process
from faults import files_of_at_most
from learners import Signs
from safetensors.torch import load_file, save_file

from core import toml_file
from core.contract import Contract, ModelIdentity, RowsIdentity, write_contract
from core.errors import KocrError, UsageError
from core.run_dir import RunDir
from core.train.checkpoints import checkpoint


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def run(signs: Signs) -> RunDir:
    return trained(signs)


@pytest.fixture(autouse=True)
def home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    without_a_process(monkeypatch)


def test_a_disk_that_fills_up_while_weights_are_written_leaves_nothing(
    run: RunDir, tmp_path: Path
) -> None:
    with files_of_at_most(1 << 20), pytest.raises(KocrError, match="out: can't be written: "):
        exported(run, tmp_path / "out", merge=True, verify=False)
    assert list(tmp_path.iterdir()) == []


def test_merged_weights_that_are_not_finite_are_not_written(signs: Signs, tmp_path: Path) -> None:
    run = trained(signs)
    best = checkpoint.path_of(run.checkpoints, 1)
    file = best / checkpoint.ADAPTER_FOLDER / "adapter_model.safetensors"
    save_file({name: value * 1e30 for name, value in load_file(file).items()}, file)
    reseal(best)
    with pytest.raises(KocrError, match="isn't finite in fp32; export the adapter alone"):
        exported(run, tmp_path / "out", merge=True, verify=False)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_told_in_one_line(
    run: RunDir, signs: Signs, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no checkpoint of step 7; there are those of 1, 2"):
        exported(run, tmp_path / "out", checkpoint=7)
    with pytest.raises(UsageError, match="no such folder to put out into"):
        exported(run, tmp_path / "nowhere" / "out")
    job = signs.job()
    job.events.close()
    with pytest.raises(KocrError, match=r"certificate.json: can't be read: No such file"):
        exported(job.run, tmp_path / "out")
    (job.run.path / "certificate.json").write_bytes(run.certificate_file.read_bytes())
    with pytest.raises(UsageError, match="no checkpoint yet"):
        exported(job.run, tmp_path / "out")
    validation = signs.home / "signs" / "validation.jsonl"
    aside = validation.rename(validation.with_suffix(".aside"))
    try:
        with pytest.raises(UsageError, match=r"validation\.jsonl.*--no-verify"):
            exported(run, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        assert exported(run, tmp_path / "out", verify=False).export.verified is None
    finally:
        aside.rename(validation)


def test_another_base_in_its_place_is_refused(signs: Signs, tmp_path: Path) -> None:
    run = trained(signs)
    rows = RowsIdentity(file="f", rows=1, set_aside=0, source="", texts="", photos="")
    model = ModelIdentity(path="elsewhere", files={"model.safetensors": "1 bytes, 00"})
    contract = Contract(
        config={}, train=rows, validation=rows, model=model, order=1, versions={}, device="cpu"
    )
    write_contract(run, contract)
    with pytest.raises(UsageError, match=r"not the base that .* was trained on"):
        exported(run, tmp_path / "out")


@pytest.mark.parametrize(("key", "changes"), [("alpha", {"alpha": 64.0}), ("rank", {"rank": 8})])
def test_a_config_that_was_changed_since_is_refused(
    key: str, changes: dict[str, Any], signs: Signs, tmp_path: Path
) -> None:
    """The adapter counts alpha / rank times: merged by another number it would be another."""
    run = trained(signs)
    config = run.config()
    other = msgspec.structs.replace(config, lora=msgspec.structs.replace(config.lora, **changes))
    run.config_file.write_text(toml_file.encode(other), encoding="utf-8")
    with pytest.raises(UsageError, match=rf"config\.toml: lora\.{key} is not what the adapter"):
        exported(run, tmp_path / "out", verify=False)
