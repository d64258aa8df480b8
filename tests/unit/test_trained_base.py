"""Which base may stand under a run's adapter."""

from pathlib import Path

import pytest

from core.config import ModelConfig
from core.contract import Contract, ModelIdentity, RowsIdentity, write_contract
from core.errors import UsageError
from core.model.identity import model_identity
from core.model.trained_base import refuse_another_base
from core.run_dir import RunDir

HUB = "some/sign-reader"
ROWS = RowsIdentity(file="f", rows=1, set_aside=0, source="", texts="", photos="")


def trained_on(folder: Path, model: ModelIdentity) -> RunDir:
    run = RunDir(folder)
    contract = Contract(
        config={}, train=ROWS, validation=ROWS, model=model, order=1, versions={}, device="cpu"
    )
    write_contract(run, contract)
    return run


@pytest.mark.parametrize("before", [None, "abc"])
def test_a_model_of_the_hub_is_told_by_its_commit_where_that_is_known(
    before: str | None, tmp_path: Path
) -> None:
    run = trained_on(tmp_path, ModelIdentity(path=HUB, commit=before))
    refuse_another_base(run, ModelConfig(path=HUB, revision="abc"))


@pytest.mark.parametrize(
    "now", [ModelConfig(path=HUB, revision="def"), ModelConfig(path="other/model", revision="abc")]
)
def test_another_model_of_the_hub_is_refused(now: ModelConfig, tmp_path: Path) -> None:
    run = trained_on(tmp_path, ModelIdentity(path=HUB, commit="abc"))
    with pytest.raises(UsageError, match=f"not the base that .* was trained on \\({HUB}@abc\\)"):
        refuse_another_base(run, now)


def test_a_folder_is_told_by_its_files_wherever_it_lies(tmp_path: Path) -> None:
    first, moved, other = (tmp_path / name for name in ("first", "moved", "other"))
    for folder, words in ((first, "a"), (moved, "a"), (other, "b")):
        folder.mkdir()
        (folder / "config.json").write_text(words)
    run = trained_on(tmp_path, model_identity(ModelConfig(path=str(first)), None))
    refuse_another_base(run, ModelConfig(path=str(moved)))
    with pytest.raises(UsageError, match="put that back"):
        refuse_another_base(run, ModelConfig(path=str(other)))


def test_a_run_without_a_contract_is_held_to_nothing(tmp_path: Path) -> None:
    refuse_another_base(RunDir(tmp_path), ModelConfig(path=HUB))
