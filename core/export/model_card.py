"""The model card (README.md): what was exported, from which run, how well it reads, how to load it.

Photos and labels of the data set are not in it: AI Hub's terms don't let them be passed on.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from core.config import LoraConfig, TrainConfig
from core.contract import read_contract
from core.errors import UsageError
from core.evaluate.text import Score
from core.events import Validated
from core.export.base_files import licence
from core.export.snippet import snippet
from core.export.source import Source
from core.exporting import Export
from core.visible_text import visible

CARD = "README.md"
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!$&@])")
_NO_LICENCE = "no licence is named in the files of the base; see where it was published"
_SCORES = """\
*Exact*: the reply's first line is the label. *Normalised*: the same after NFC, lower-casing and
dropping all but Hangul, latin letters and digits. *Similarity ≥ 80*: rapidfuzz's ratio of the
normalised texts. In brackets: 95 % Wilson intervals. Replies were generated greedily."""


def write_card(folder: Path, source: Source, made: Export, prompt: str | None) -> None:
    """Writes the card; ``prompt`` is what a validation row asks, None where none was read."""
    text = "\n".join(_lines(source, made, prompt))
    (folder / CARD).write_bytes(text.encode("utf-8", "backslashreplace") + b"\n")


def _lines(source: Source, made: Export, prompt: str | None) -> Iterator[str]:
    yield from _head(source, made)
    yield from _about(source, made)
    yield "\n## How well it reads\n"
    yield from _scores(source)
    yield "\n## How to load it\n"
    yield snippet(made, prompt)
    yield "\n## What it was checked for\n"
    yield _verified(made)
    yield "\n## Data\n"
    yield from _data(source)
    yield "\n## Training\n"
    yield from _table(("setting", "value"), _training(source))
    yield "\n## What was proved to fit\n"
    yield from _table(("certificate", "value"), _certificate(source))
    yield "\n## Versions\n"
    yield from _table(("library", "trained with", "exported with"), _versions(source, made))
    yield "\n## Licence\n"
    named = licence(source.model)
    yield f"The base's licence applies: {literal(named) if named else _NO_LICENCE}."


def _head(source: Source, made: Export) -> Iterator[str]:
    """The hub's front matter; JSON texts are YAML, too."""
    kind = "adapter" if made.kind == "adapter" else "finetune"
    yield "---"
    if (named := licence(source.model)) is not None:
        yield f"license: {_yaml(named)}"
    if not _is_folder(made):
        yield f"base_model: {_yaml(made.base)}"
        yield f"base_model_relation: {kind}"
    yield f"library_name: {'peft' if made.kind == 'adapter' else 'transformers'}"
    yield "pipeline_tag: image-text-to-text"
    yield "language: ko"
    yield "tags: [ocr, lora, kocr-tui]"
    yield "---\n"


def _about(source: Source, made: Export) -> Iterator[str]:
    yield f"# {literal(source.config.name)}: Korean shop signs\n"
    at = f" at commit {literal(made.revision)}" if made.revision else ""
    base = f"{literal(made.base)}{at}"
    best = ", the one that read best" if made.best else ""
    if made.kind == "adapter":
        yield f"A LoRA adapter for {base}, trained to read the name on a photo of a shop's sign."
    else:
        yield (
            f"{base} with a LoRA adapter merged into its weights ({made.dtype}), trained to read "
            "the name on a photo of a shop's sign."
        )
    yield f"It is step {made.step:,} of the run {literal(made.run)}{best}, made with kocr-tui."
    if made.kind == "merged" and made.weights == "nf4":
        yield (
            "\nThe adapter was trained beside weights in 4 bits (NF4). Here it is merged into the "
            f"base's own weights in {made.dtype}, which those 4 bits stand for."
        )
    if made.kind == "adapter" and _is_folder(made):
        yield (
            "\nThe base is a folder of the box that it was trained on: elsewhere, the path of your "
            "own goes into adapter_config.json and the code below."
        )
    yield (
        f"\nPhotos are read at {made.max_pixels:,} pixels at most, as in training"
        f"{'; the processor files say so' if made.kind == 'merged' else ''}."
    )
    if made.kind == "merged":
        yield (
            "generation_config.json is greedy, without a repetition penalty, as the scores below "
            "were made."
        )


def _is_folder(made: Export) -> bool:
    """Whether the base has no name on the hub that is known of."""
    return Path(made.base).expanduser().is_dir()


def _scores(source: Source) -> Iterator[str]:
    state, step = source.state, source.step
    selection = next((one for one in reversed(state.selection) if one.step == step), None)
    final = state.final if state.final is not None and state.final.step == step else None
    named = (
        ("the base, before training", state.baseline),
        ("this model, on the same photos", final),
        ("this model, on the photos that choose the best step", selection),
    )
    rows = [_score_row(name, scores) for name, scores in named if scores is not None]
    if rows:
        yield from _table(("", "photos", "exact", "normalised", "similarity ≥ 80"), rows)
        yield ""
    if final is None:
        yield f"The photos of the report were not read at step {step:,}.\n"
    yield _SCORES


def _score_row(name: str, validated: Validated) -> tuple[str, ...]:
    scores = validated.scores
    shares = (scores.exact, scores.normalized, scores.similarity80)
    return (name, f"{scores.n:,}", *map(_percent, shares))


def _percent(score: Score) -> str:
    if score.value is None:
        return "–"
    return f"{score.value * 100:.1f} % [{score.low * 100:.0f}–{score.high * 100:.0f}]"


def _verified(made: Export) -> str:
    if made.verified is None:
        return "It was exported with `--no-verify`: nothing was read with what is in this folder."
    rows, changed = made.verified.rows, made.verified.changed
    way = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "nf4": "NF4"}
    weights = way.get(made.verified.weights, made.verified.weights)
    what = "merging it" if made.kind == "merged" else "reading with plain peft"
    return (
        f"A process with nothing but transformers and peft read {rows} validation photos with this "
        f"folder: its tensors, and all {rows} replies, were those of the model in memory that was "
        f"written. Against the model as it was trained (base in {weights}, the adapter beside "
        f"it), {what} changed {changed} of {rows} replies."
    )


def _data(source: Source) -> Iterator[str]:
    data = source.state.data
    if data is None:
        yield "The run doesn't tell how many rows it was trained on."
        return
    yield (
        f"{data.train_rows:,} rows to train on and {data.validation_rows:,} for validation; "
        f"{data.set_aside:,} rows that can't be used were set aside. A row is a photo, what is "
        "asked of it, and the name on the sign. No photo and no label of them is in this folder."
    )


def _training(source: Source) -> Iterator[tuple[str, str]]:
    steps = source.state.training.steps if source.state.training else source.step
    yield "steps", f"{source.step:,} of {steps:,}"
    for part, struct in (("lora", LoraConfig), ("train", TrainConfig)):
        settings = msgspec.to_builtins(getattr(source.config, part))
        for name in struct.__struct_fields__:
            if settings[name] is not None:
                yield f"{part}.{name}", str(settings[name])


def _certificate(source: Source) -> Iterator[tuple[str, str]]:
    setup, worker = source.setup, source.state.worker
    yield "weights", literal(setup.weights)
    yield "LoRA", f"rank {setup.rank} on {literal(setup.targets)}"
    yield "pixel budget", f"{setup.max_pixels:,} pixels ({setup.image_tokens:,} image tokens)"
    yield "recomputed layers", literal(setup.checkpointing)
    yield "tokens a micro-batch", f"{setup.micro_batch_tokens:,}"
    if setup.peak_gib is not None:
        yield "peak of memory", f"{setup.peak_gib:.2f} GiB"
    if setup.headroom_gib is not None:
        yield "memory left", f"{setup.headroom_gib:.2f} GiB"
    if worker is not None:
        yield "card", literal(worker.card)


def _versions(source: Source, made: Export) -> Iterator[tuple[str, str, str]]:
    try:
        contract = read_contract(source.run)
    except UsageError:
        contract = None
    worker = source.state.worker
    told = worker.versions if worker is not None else {}
    before = contract.versions if contract is not None else told
    for name in {**before, **made.versions}:
        then = literal(before.get(name, "–"))
        yield literal(name), then, made.versions.get(name, "–")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def literal(text: str) -> str:
    """Foreign text on one line, so that Markdown and HTML show it and do nothing else."""
    return _MARKUP.sub(r"\\\1", visible(text))


def _yaml(text: str) -> str:
    return json.dumps(visible(text))
