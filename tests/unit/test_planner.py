"""Plans of real tiny models: what fits, what to know before training, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.hardware.nvml import Card
from core.planning import PlanReport, PlanRequest
from core.profile import GIB, held_to_card, load_profile
from core.tune.planner import plan

MIB = 1 / 1024


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))


def ask(folder: Path, **wanted: Any) -> PlanReport:
    settings: dict[str, Any] = {
        "model": str(folder),
        "profile": "cpu",
        "weights": ("fp32",),
        "ranks": (4,),
        "checkpointing": ("none",),
        "photo": (400, 300),
    }
    return plan(PlanRequest(**{**settings, **wanted}), lambda _done, _total, _words: None)


def test_a_large_card_takes_the_whole_photo(tiny_model_folder: Path) -> None:
    report = ask(tiny_model_folder)
    assert report.choice is not None
    assert report.choice.feasible
    assert report.choice.image_tokens == round(400 / 28) * round(300 / 28)
    assert report.choice.shrunk_share == 0
    assert sum(report.by_kind.values()) == pytest.approx(report.choice.peak_gib, rel=1e-6)
    assert max(report.by_phase.values()) == pytest.approx(report.choice.peak_gib, rel=1e-6)
    assert report.why


def test_a_smaller_card_takes_the_largest_budget_that_stays_inside(
    tiny_model_folder: Path,
) -> None:
    whole = ask(tiny_model_folder).setups[0]
    capacity = whole.peak_gib * 0.8 / 0.875
    report = ask(tiny_model_folder, capacity_gib=capacity)
    assert report.choice is not None
    assert report.choice.peak_gib <= report.limit_gib
    assert 0 < report.choice.image_tokens < whole.image_tokens
    assert report.choice.shrunk_share == 1
    above = ask(
        tiny_model_folder,
        capacity_gib=capacity,
        max_pixels=round(report.choice.max_pixels * 1.1),
    )
    assert above.choice is None


def test_recomputing_takes_a_larger_photo_in_the_same_memory(tiny_model_folder: Path) -> None:
    whole = ask(tiny_model_folder, text_tokens=800).setups[0]
    report = ask(
        tiny_model_folder,
        text_tokens=800,
        capacity_gib=whole.peak_gib * 0.95 / 0.875,
        checkpointing=("none", "all"),
    )
    by_layers = {setup.checkpointing: setup for setup in report.setups}
    assert by_layers["all"].image_tokens > by_layers["none"].image_tokens
    assert report.choice is not None
    assert report.choice.checkpointing == "all"
    assert [setup.chosen for setup in report.setups] == [True, False]


def test_a_card_too_small_for_any_setup_is_told_what_would_do(tiny_model_folder: Path) -> None:
    report = ask(tiny_model_folder, capacity_gib=4 * MIB)
    assert report.choice is None
    [setup] = report.setups
    assert not setup.feasible
    assert setup.peak_gib > report.limit_gib
    assert "No setup fits" in report.why[-1]


def test_a_giant_photo_is_named_with_what_leaving_it_out_buys(
    tiny_model_folder: Path, write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    rows = [(f"{n}.png", (120 + n, 90), "원마트") for n in range(6)]
    train = write_rows([*rows, ("giant.png", (1400, 1000), "A")], "train.jsonl")
    report = ask(tiny_model_folder, train=str(train))
    [warning] = report.warnings
    assert str(tmp_path / "giant.png") in warning
    assert "GiB less" in warning
    assert report.rows == 7
    assert report.largest_photo == (1400, 1000)


def test_a_model_that_is_nowhere_is_refused_with_the_known_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="known by name: Qwen2-VL-2B"):
        ask(tmp_path / "nothing-here")


def test_a_profile_with_more_memory_than_the_card_counts_on_the_cards() -> None:
    profile = load_profile("rtx4090")
    small = Card(name="NVIDIA GeForce RTX 4080", total_bytes=16376 * 2**20)
    held, said = held_to_card(profile, small)
    assert held.memory_gib < 16376 / 1024 < profile.memory_gib
    assert held.limit_bytes() < small.total_bytes if small.total_bytes else False
    assert said is not None
    assert "rtx4090" in said
    assert "RTX 4080" in said
    own = Card(name="NVIDIA GeForce RTX 4090", total_bytes=24564 * 2**20)
    assert held_to_card(profile, own) == (profile, None)
    assert held_to_card(profile, None) == (profile, None)


def test_hours_ask_for_the_largest_budget_in_time() -> None:
    def plan_in(hours: float | None) -> PlanReport:
        wanted = {"hours": hours} if hours else {}
        return ask(
            Path("qwen2-vl-2b"),
            profile="rtx4090",
            weights=("bf16",),
            checkpointing=("all",),
            rows=10_000,
            photo=(1120, 840),
            **wanted,
        )

    free = plan_in(None).choice
    assert free is not None
    assert free.hours_an_epoch is not None
    bound = plan_in(free.hours_an_epoch / 2).choice
    assert bound is not None
    assert bound.hours_an_epoch is not None
    assert bound.hours_an_epoch <= free.hours_an_epoch / 2
    assert bound.image_tokens < free.image_tokens
    assert bound.peak_gib * GIB > 4 * GIB
