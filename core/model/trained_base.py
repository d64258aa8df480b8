"""Whether a base is the one that a run's adapter was trained on."""

from core.config import ModelConfig
from core.contract import read_contract
from core.errors import UsageError
from core.model.identity import model_identity
from core.run_dir import RunDir


def refuse_another_base(run: RunDir, model: ModelConfig) -> None:
    """Raises UsageError if ``model``, at its revision, isn't what the run's contract names.

    An adapter says nothing on weights that it wasn't trained on. Folders are told by their files,
    models of the hub by their commit, where the contract knows it.
    """
    contract = read_contract(run)
    if contract is None:
        return
    before, now = contract.model, model_identity(model, None)
    same = before.path == now.path and before.commit in (now.commit, None)
    if before.files or now.files:
        same = before.files == now.files
    if not same:
        raise UsageError(
            f"{model.path}: not the base that {run.id} was trained on ({before.path}"
            f"{f'@{before.commit}' if before.commit else ''}); put that back"
        )
