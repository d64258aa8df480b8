"""What the usual way of fine-tuning takes for one whole phone photo, and what the tuner picks.

    python benchmarks/naive_setup.py

Qwen2-VL-2B in NF4, LoRA of rank 8 on q and v alone, one sample at a time, no checkpointing, no
pixel budget, a 12-megapixel photo, logits for every token: traced with no card and no weights, by
the same counting of live bytes as the tuner's.
"""

import json
from pathlib import Path
from typing import Any

import torch
from machine import machine
from peft.tuners.lora import LoraLayer
from torch.nn.functional import cross_entropy

from core.config import LoraConfig, Targets, TrainConfig
from core.model.families import QWEN2_VL
from core.model.families.family import Family
from core.model.presets import preset_config
from core.model.vision import Tower
from core.planning import PHONE_PHOTO, PlanReport, PlanRequest
from core.profile import GIB
from core.train.loading.micro_batch import MicroBatch
from core.train.setup import Precision, Trainable
from core.tune.blank import BlankSamples, TextTokens
from core.tune.cuda_rules import cuda_rules
from core.tune.fake_model import Architecture, fake_trainable
from core.tune.ledger import KINDS, CountedFakes, Ledger
from core.tune.planner import plan

MODEL, PROFILE = "Qwen2-VL-2B", "rtx4090"
RESULT = Path(__file__).parent / "results" / "naive_setup.json"


class _QueryAndValue(Family):
    """The family with adapters on two of the attention's four layers."""

    def lora_pattern(self, targets: Targets) -> str:
        return r"model\.language_model\.layers\.\d+\.self_attn\.(q|v)_proj"


def naive() -> dict[str, dict[str, float]]:
    """GiB by kind at the peak of every phase of such a step."""
    family = _QueryAndValue(**{name: getattr(QWEN2_VL, name) for name in vars(QWEN2_VL)})
    architecture = Architecture(preset_config(MODEL), family)
    ledger = Ledger(architecture.vocabulary)
    fakes = CountedFakes(ledger)
    lora, train = LoraConfig(rank=8), TrainConfig(checkpointing="none")
    parts = fake_trainable(architecture, Precision("nf4", "bf16"), lora, train, fakes, ledger)
    for module in parts.model.modules():
        if isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = True
    photo = BlankSamples(family.geometry, TextTokens(15, 30, 12), 10**9).sample(*PHONE_PHOTO)
    micro = MicroBatch.of([photo], 0, Tower.of(family, architecture.config))
    with fakes.uncounted() as fake:
        batch = micro.batch.map(fake)
    with cuda_rules("varlen"), fakes:
        _step(parts, batch, ledger)
    return {
        phase: {kind: kinds[kind] / GIB for kind in KINDS} for phase, kinds in ledger.peaks.items()
    }


def _step(parts: Trainable, batch: Any, ledger: Ledger) -> None:
    """Forward and backward with all logits, as a model's own loss works them out."""
    ledger.enter("vision")
    ledger.count(batch.tensors())
    features = parts.forward.image_features(batch)
    ledger.enter("forward")
    hidden = parts.forward._language(batch, features)
    ledger.enter("loss")
    logits = parts.base.lm_head(hidden).float()
    labels = torch.empty(logits.shape[1], dtype=torch.int64)
    loss = cross_entropy(logits.flatten(0, 1), labels, ignore_index=-100)
    ledger.enter("backward")
    loss.backward()


def main() -> None:
    """Prints both and writes them down."""
    phases = naive()
    picked: PlanReport = plan(
        PlanRequest(model=MODEL, profile=PROFILE), lambda _done, _total, _words: None
    )
    assert picked.choice is not None
    print(f"{MODEL}, one photo of {PHONE_PHOTO[0]}x{PHONE_PHOTO[1]}, {PROFILE}:")
    for phase, kinds in phases.items():
        parts = ", ".join(f"{kind} {size:.2f}" for kind, size in kinds.items() if size >= 0.005)
        print(f"  the usual way, {phase}: {sum(kinds.values()):6.2f} GiB ({parts})")
    choice = picked.choice
    print(
        f"  the tuner's choice: {choice.peak_gib:.2f} GiB ({choice.weights}, rank {choice.rank}, "
        f"{choice.targets}, checkpointing {choice.checkpointing}, {choice.image_tokens:,} tokens)"
    )
    result = {
        "machine": machine("torch", "transformers", "peft", "bitsandbytes"),
        "predicted": True,
        "photo": PHONE_PHOTO,
        "usual_gib": phases,
        "choice": {name: getattr(choice, name) for name in choice.__struct_fields__},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
