"""The table of setups for people: aligned, marked, and at most 80 columns wide."""

import os
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_reports import PROVED, SMALLER, TOO_LARGE, plan_report, setup

from core.planning import PlannedSetup, PlanReport
from kocr_tui import format as fmt
from kocr_tui.plain.plan_report import lines
from kocr_tui.strings import LANGUAGES, use_language


def table(report: PlanReport, language: str = "en", **options: bool) -> list[str]:
    use_language(language)
    return list(lines(report, **options))


def test_the_table_names_card_budget_and_choice() -> None:
    assert table(PROVED, why=True) == [
        "model          qwen2-vl-2b",
        "card           rtx4090, 23.50 GiB, of which a run may use 21.80 GiB",
        "largest photo  4,032 x 3,024",
        "LoRA           rank 16 on language",
        "rows           138,149",
        "",
        "  weights,            pixel   image  photos   peak  headroom  samples   hours",
        "  checkpointing      budget  tokens  shrunk    GiB       GiB       /s  /epoch",
        "▸ bf16 all         12.19 MP  15,552    25 %  21.30     0.500     0.41    93.1",
        "  nf4  1 in 4    802,816 px   1,020   100 %  ~9.75     12.05    ~8.12   ~4.73",
        "  fp32 none      does not fit: even 3,136 px need ~25.10 GiB",
        "  ~ predicted; figures without ~ measured (probes: 3)",
        "! an epoch takes 93 hours",
        "",
        "Why",
        "  bf16 without checkpointing needs more.",
        "  The largest budget was asked for.",
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_columns_stand_below_each_other_with_wide_characters(language: str) -> None:
    found = table(PROVED, language)
    start = found.index("") + 1
    heads, rows = found[start : start + 2], found[start + 2 : start + 4]
    assert len({fmt.width(line) for line in (*heads, *rows)}) == 1
    assert all(fmt.width(line) <= 80 for line in found)
    facts = found[: start - 1]
    columns = {fmt.width(line) - fmt.width(line.split("  ")[-1].lstrip()) for line in facts}
    assert len(columns) == 1


gib = st.floats(0, 140)


@given(
    setups=st.lists(
        st.builds(
            setup,
            weights=st.sampled_from(["bf16", "fp16", "fp32", "nf4"]),
            checkpointing=st.sampled_from(["none", "all", "2", "28"]),
            max_pixels=st.integers(1, 99_000_000),
            image_tokens=st.integers(1, 99_999),
            peak_gib=gib,
            headroom_gib=gib,
            shrunk_share=st.none() | st.floats(0, 1),
            samples_per_s=st.none() | st.floats(0.001, 9999),
            hours_an_epoch=st.none() | st.floats(0, 99_999),
            feasible=st.booleans(),
            peak=st.sampled_from(["predicted", "measured"]),
            speed=st.sampled_from(["predicted", "measured"]),
            chosen=st.booleans(),
        ),
        max_size=5,
    ),
    rows=st.none() | st.integers(1, 10**9),
    fixed=st.booleans(),
    language=st.sampled_from(LANGUAGES),
)
def test_any_plan_of_one_lora_fits_eighty_columns(
    setups: list[PlannedSetup], rows: int | None, fixed: bool, language: str
) -> None:
    report = plan_report(*setups, rows=rows, probes=9)
    for line in table(report, language, fixed=fixed):
        assert fmt.width(line) <= 80, line
        assert "\n" not in line


def test_without_rows_hours_are_for_a_hundred_thousand_photos() -> None:
    unknown = msgspec.structs.replace(SMALLER, hours_an_epoch=None, samples_per_s=10.0)
    found = table(plan_report(unknown, rows=None))
    assert "/100,000" in found[6]
    assert found[7].endswith("~2.78")
    assert "  rows not given (--rows N): hours are for 100,000 photos" in found


def test_rank_and_targets_are_columns_where_there_are_several() -> None:
    narrow = setup(rank=8, targets="attention", checkpointing="none")
    found = table(plan_report(setup(chosen=True), narrow))
    assert not any(line.startswith("LoRA") for line in found)
    assert any(line.startswith("▸ bf16 16 language  all ") for line in found)
    assert any(line.startswith("  bf16 8  attention none ") for line in found)


def test_where_nothing_fits_the_least_that_would_do_is_told() -> None:
    less = msgspec.structs.replace(TOO_LARGE, weights="nf4", peak_gib=6.0)
    found = table(plan_report(TOO_LARGE, less, capacity_gib=4.0, limit_gib=3.0))
    assert "! nothing fits in 3.00 GiB; the least is 6.00 GiB, on a card of 8.00 GiB" in found


def test_a_single_setup_at_a_fixed_budget_shows_what_its_memory_is_for() -> None:
    kinds = {"weights": 10.9, "logits": 0.109, "rope": 21.8}
    report = plan_report(
        setup(chosen=True), by_kind=kinds, by_phase={"forward": 21.3, "generation": 5.45}
    )
    found = table(report, fixed=True)
    at = found.index("What the memory is for, of 21.80 GiB that the run may use")
    assert found[at + 1 : at + 4] == [
        f"  weights  {'█' * 16}{'░' * 16}   10.90 GiB   50.0 %",
        f"  logits   ▏{'░' * 31}   0.109 GiB    0.5 %",
        f"  rope     {'█' * 32}   21.80 GiB  100.0 %",
    ]
    assert found[at + 5] == "Peak of each phase"
    assert found[-1] == f"  generation  {'█' * 8}{'░' * 24}    5.45 GiB   25.0 %"
    assert "가중치" in "\n".join(table(report, "ko", fixed=True))
    assert table(report) == found[: at - 1]


def test_the_table_can_be_told_in_ascii() -> None:
    code = (
        "from test_plan_report import PROVED, setup, plan_report, table\n"
        "unknown = setup(samples_per_s=None, hours_an_epoch=None, shrunk_share=None, chosen=True)\n"
        "report = plan_report(unknown, by_kind={'weights': 10.9})\n"
        "print(*table(PROVED), *table(report, fixed=True), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        env={
            **os.environ,
            "PYTHONIOENCODING": "ascii",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    told = done.stdout.decode("ascii")
    assert "> bf16 all" in told
    assert "#" * 16 + "." * 16 in told


def test_texts_of_others_cannot_break_a_line() -> None:
    report = plan_report(setup(), model="a\nb", why=("c\x1b[2J",), warnings=("d\re",))
    found = table(report, why=True)
    assert found[0] == "model          a␊b"
    assert "! d␍e" in found
    assert found[-1] == "  c␛[2J"
