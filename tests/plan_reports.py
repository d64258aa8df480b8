"""Plans as the planner would report them, for tests of the command line."""

from typing import Any

from core.planning import PlannedSetup, PlanReport


def setup(**changes: Any) -> PlannedSetup:
    values = {
        "weights": "bf16",
        "rank": 16,
        "targets": "language",
        "checkpointing": "all",
        "micro_batch_tokens": 15_616,
        "max_pixels": 12_192_768,
        "image_tokens": 15_552,
        "peak_gib": 21.3,
        "headroom_gib": 0.5,
        "samples_per_s": 0.412,
        "feasible": True,
        "shrunk_share": 0.25,
        "hours_an_epoch": 93.1,
    }
    return PlannedSetup(**(values | changes))


SMALLER = setup(
    weights="nf4",
    checkpointing="4",
    max_pixels=802_816,
    image_tokens=1020,
    peak_gib=9.75,
    headroom_gib=12.05,
    samples_per_s=8.12,
    shrunk_share=1.0,
    hours_an_epoch=4.726,
)
TOO_LARGE = setup(
    weights="fp32",
    checkpointing="none",
    max_pixels=3136,
    image_tokens=4,
    peak_gib=25.1,
    samples_per_s=None,
    hours_an_epoch=None,
    feasible=False,
)


def plan_report(*setups: PlannedSetup, **changes: Any) -> PlanReport:
    values = {
        "model": "qwen2-vl-2b",
        "profile": "rtx4090",
        "capacity_gib": 23.5,
        "limit_gib": 21.8,
        "choice": next((one for one in setups if one.chosen), None),
        "setups": setups,
        "probes": 0,
        "why": ("bf16 without checkpointing needs more.", "The largest budget was asked for."),
        "rows": 138_149,
    }
    return PlanReport(**(values | changes))


PROVED = plan_report(
    setup(chosen=True, peak="measured", speed="measured"),
    SMALLER,
    TOO_LARGE,
    probes=3,
    warnings=("an epoch takes 93 hours",),
)
