"""What of a run is exported: a checkpoint's adapter, its base, and what the run tells of both."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from core.config import ModelConfig, RunConfig
from core.errors import KocrError, UsageError
from core.events import ModelOpened, Setup
from core.export.base_files import parsed
from core.exporting import Checkpoint, ExportRequest
from core.model.families.family import Family
from core.model.load import DTYPES, open_config, pin
from core.model.processing import Processing, load_processing
from core.model.trained_base import refuse_another_base
from core.run_dir import RunDir
from core.run_state import RunState
from core.run_watch import RunWatch
from core.train.checkpoints import checkpoint
from core.train.setup import Precision
from core.tune.certificate import Certificate


@dataclass(frozen=True)
class Source:
    """A verified checkpoint of a run and what it was trained with.

    ``model`` is the base at the commit that it was trained on, ``architecture`` its transformers
    config. ``best`` says that the checkpoint is the one that read the fixed subset best.
    """

    run: RunDir
    config: RunConfig
    state: RunState
    setup: Setup
    precision: Precision
    model: ModelConfig
    architecture: Any
    family: Family
    processing: Processing
    checkpoint: Path
    best: bool
    warnings: tuple[str, ...]

    @property
    def step(self) -> int:
        """How many optimizer steps the adapter was trained for."""
        return checkpoint.step_of(self.checkpoint)

    @property
    def dtype(self) -> str:
        """torch's name of the number format that it computes in, and of merged weights."""
        return str(DTYPES[self.precision.compute]).removeprefix("torch.")

    @property
    def bounds(self) -> tuple[int, int]:
        """The fewest and most pixels that a photo was brought to."""
        return self.processing.geometry.min_pixels, self.setup.max_pixels

    @property
    def generation(self) -> dict[str, Any]:
        """How replies were generated in the run's validation, for transformers' ``generate``."""
        return {
            "do_sample": False,
            "repetition_penalty": 1.0,
            "max_new_tokens": self.config.validation.max_new_tokens,
            "eos_token_id": [self.processing.turn_end_id, self.processing.pad_token_id],
            "pad_token_id": self.processing.pad_token_id,
        }

    @property
    def adapter(self) -> Path:
        """The adapter's folder in the checkpoint."""
        return self.checkpoint / checkpoint.ADAPTER_FOLDER


def open_source(request: ExportRequest) -> Source:
    """Reads the run; raises UsageError or KocrError if it has nothing to export.

    That is so where it has no checkpoint that verifies, or its base can't be had or is another.
    """
    run = RunDir(Path(request.run))
    config = run.config()
    state, opened = _replay(run)
    setup = _setup(run)
    path, best, warnings = _choose(run, request.checkpoint)
    model = _model(config.model, opened)
    architecture, family = open_config(model)
    model = pin(model)
    refuse_another_base(run, model)
    _refuse_another_adapter(run, path, config, family)
    compute = opened.compute if setup.weights == "nf4" else setup.weights
    return Source(
        run=run,
        config=config,
        state=state,
        setup=setup,
        precision=Precision(setup.weights, compute),
        model=model,
        architecture=architecture,
        family=family,
        processing=load_processing(model, family),
        checkpoint=path,
        best=best,
        warnings=warnings,
    )


def _replay(run: RunDir) -> tuple[RunState, ModelOpened]:
    """What the run's events add up to, and which base it was last worked on with."""
    opened: list[ModelOpened] = []

    def hear(event: object) -> None:
        if isinstance(event, ModelOpened):
            opened[:] = [event]

    watched = RunWatch(run)
    watched.catch_up(hear)
    if not opened:
        raise KocrError(f"{run.events_file}: tells of no base model, so nothing was trained yet")
    return watched.state, opened[0]


def _setup(run: RunDir) -> Setup:
    """What the run was certified to train with."""
    path = run.certificate_file
    try:
        return msgspec.json.decode(path.read_bytes(), type=Certificate).setup
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise KocrError(
            f"{path}: can't be read: {why}; `kocr-tui resume {run.id}` tunes anew"
        ) from error


def _choose(run: RunDir, asked: Checkpoint) -> tuple[Path, bool, tuple[str, ...]]:
    """The checkpoint, whether it is the best, and a line for each that is passed over."""
    newest, passed_over = checkpoint.newest(run.checkpoints)
    if newest is None:
        raise UsageError(f"{run.id}: no checkpoint yet; the first one comes while it trains")
    best = checkpoint.read_state(newest).best
    step = checkpoint.step_of(newest)
    if asked == "best":
        step = best.step if best is not None else step
        if best is None:
            passed_over.append("no checkpoint was chosen as the best yet, so the newest is taken")
    elif asked != "last":
        step = asked
    path = checkpoint.path_of(run.checkpoints, step)
    if not path.exists():
        steps = {checkpoint.step_of(path) for path in checkpoint.in_order(run.checkpoints)}
        known = ", ".join(map(str, sorted(steps)))
        raise UsageError(f"{run.id}: no checkpoint of step {step}; there are those of {known}")
    if path != newest and (problem := checkpoint.verify(path)) is not None:
        raise KocrError(f"{path}: {problem}; --checkpoint last takes the newest that is sound")
    return path, best is not None and best.step == step, tuple(passed_over)


def _model(asked: ModelConfig, opened: ModelOpened) -> ModelConfig:
    """The base as the config names it, at the commit of the hub that the run was trained on."""
    revision = opened.revision if asked.path == opened.path else asked.revision
    return msgspec.structs.replace(asked, revision=revision)


def _refuse_another_adapter(run: RunDir, path: Path, config: RunConfig, family: Family) -> None:
    """The config may have been changed since the adapter was trained as it said."""
    told = parsed(path / checkpoint.ADAPTER_FOLDER / "adapter_config.json")
    lora = config.lora
    for key, name, now in (
        ("rank", "r", lora.rank),
        ("alpha", "lora_alpha", lora.alpha),
        ("targets", "target_modules", family.lora_pattern(lora.targets)),
    ):
        if told.get(name) != now:
            raise UsageError(
                f"{run.config_file}: lora.{key} is not what the adapter in {path.name} was trained "
                "with; put it back"
            )
