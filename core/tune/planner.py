"""Plans all setups for a model, a card and a data set; needs no card and no weights.

``python -m core.tune.planner REQUEST REPORT`` reads a PlanRequest and writes a PlanReport.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from core.config import LoraConfig, ModelConfig, TrainConfig, ValidationConfig
from core.data.dataset import SignRows
from core.data.survey import open_rows
from core.data.tokens import PixelGeometry
from core.errors import KocrError, UsageError
from core.model.families import family_of
from core.model.load import open_config
from core.model.presets import PRESETS, preset_config
from core.model.processing import load_processing
from core.planning import PlanReport, PlanRequest
from core.profile import load_profile
from core.run_dir import home
from core.tune.blank import TextTokens
from core.tune.case import Case, row_tokens_of, text_tokens
from core.tune.fake_model import Architecture
from core.tune.plan_report import FASTEST_TOKENS, goal_of, largest_photo, pick, report_of
from core.tune.questions import Ground, forecasts
from core.tune.space import ALL_CHECKPOINTING, all_weights, space
from core.visible_text import visible

# Text of a chat beside prompt and answer: the template's own words.
_TEMPLATE_TOKENS = 32

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Model:
    """What is to be planned for; ``folder`` has a tokenizer, where there is one."""

    architecture: Architecture
    geometry: PixelGeometry
    config: ModelConfig | None


def plan(request: PlanRequest, tell: Tell) -> PlanReport:
    """The report a request asks for; raises UsageError if model, profile or data are wrong."""
    profile = load_profile(request.profile)
    model = _model(request.model)
    rows = _rows(request, tell)
    case = _case(request, model, rows, profile.device)
    candidates = space(
        request.weights or all_weights(profile.dtypes),
        request.ranks,
        request.targets,
        request.checkpointing or ALL_CHECKPOINTING,
    )
    max_pixels = request.max_pixels
    if request.fastest:
        max_pixels = case.pixels(min(FASTEST_TOKENS, max(case.native())))
    ground = Ground(
        architecture=model.architecture,
        case=case,
        profile=profile,
        lora=LoraConfig(),
        train=TrainConfig(),
        limit_bytes=profile.limit_bytes(request.capacity_gib),
        max_pixels=max_pixels,
        hours=request.hours,
    )
    found = []
    for one in forecasts(ground, candidates, lambda _done: None):
        found.append(one)
        tell(len(found), len(candidates), "setups")
    taken, choice = pick(found, goal_of(request.hours, request.fastest, case.rows))
    shown = taken or min(found, key=lambda one: one.peak_bytes)
    return report_of(
        request.model,
        profile,
        profile.capacity_bytes(request.capacity_gib),
        ground.limit_bytes,
        case,
        found,
        taken,
        (*shown.why, choice.why),
        rows=case.rows if rows or request.rows else None,
        giant=largest_photo(rows[0]) if rows else None,
    )


def _model(name: str) -> _Model:
    """A published architecture by its name or hub id, else a folder or another hub id."""
    wanted = name.rsplit("/", maxsplit=1)[-1].lower().removesuffix("-instruct")
    preset = next((known for known in PRESETS if known.lower() == wanted), None)
    if preset is not None and not Path(name).expanduser().is_dir():
        config = preset_config(preset)
        family = family_of(config.model_type, name)
        return _Model(Architecture(config, family), family.geometry, None)
    asked = ModelConfig(path=name)
    try:
        config, family = open_config(asked)
    except UsageError as error:
        raise UsageError(f"{error}; architectures known by name: {', '.join(PRESETS)}") from error
    return _Model(Architecture(config, family), load_processing(asked, family).geometry, asked)


def _rows(request: PlanRequest, tell: Tell) -> tuple[SignRows, ...]:
    paths = [path for path in (request.train, request.validation) if path is not None]
    return tuple(
        open_rows(
            Path(path),
            "set-aside",
            home() / "cache",
            lambda done, total: tell(done, total, "photos"),
            root=request.root,
        )
        for path in paths
    )


def _case(request: PlanRequest, model: _Model, rows: tuple[SignRows, ...], device: str) -> Case:
    """Photo sizes and text lengths of the data set, or those that the request supposes."""
    validation, train = ValidationConfig(), TrainConfig()
    answer = max(1, request.text_tokens // 4)
    prompt = max(2, request.text_tokens - answer)
    case = Case(
        geometry=model.geometry,
        text=TextTokens(prompt // 2, prompt - prompt // 2, answer),
        sizes=(request.photo,),
        counts=(request.rows or 1,),
        row_tokens=row_tokens_of(device),
        fixed_row=False,
        batch=train.batch,
        slice_rows=validation.slice_rows,
        new_tokens=validation.max_new_tokens,
    )
    if not rows:
        return case
    sizes, counts = np.unique(rows[0].sizes, axis=0, return_counts=True)
    return replace(
        case,
        text=_text(model, rows),
        sizes=tuple((int(w), int(h)) for w, h in sizes),
        counts=tuple(int(n) for n in counts),
    )


def _text(model: _Model, rows: tuple[SignRows, ...]) -> TextTokens:
    """The longest texts, in tokens of the model's tokenizer, or in bytes where it has none here."""
    if model.config is not None:
        family = model.architecture.family
        return text_tokens(rows, load_processing(model.config, family).text)
    # A byte-level tokenizer makes no more tokens of a text than it has bytes.
    most = max(int(found.text_bytes.max()) for found in rows)
    return TextTokens(_TEMPLATE_TOKENS // 2, _TEMPLATE_TOKENS // 2, most)


def main(arguments: list[str]) -> int:
    """Answers a request file; progress goes to standard output, an error is one line."""

    def tell(done: int, total: int, words: str) -> None:
        print(done, total, words, flush=True)

    try:
        request = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=PlanRequest)
        report = plan(request, tell)
    except KocrError as error:
        print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    Path(arguments[1]).write_bytes(msgspec.json.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
