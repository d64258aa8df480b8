"""What the tuning view draws of memory and of the bracket: pure functions."""

import msgspec
import pytest
import tuning_story as tuning
from hypothesis import given
from hypothesis import strategies as st

from core.events import ProbeFinished, ProbeStarted
from core.run_state import RunState
from kocr_tui import format as fmt
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.widgets.bracket import Bracket, bracket_of, number_line
from kocr_tui.widgets.memory_kinds import KINDS, columns_of, legend, memory_bar, shares
from kocr_tui.widgets.memory_kinds import heading as memory_heading
from kocr_tui.widgets.plan_table import figure_cells, name_cells
from kocr_tui.widgets.probes import finished_rows, heading, running_row

CAPACITY = 21.8


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=10), st.integers(10, 200))
def test_every_kind_has_a_column_and_the_bar_is_full(amounts: list[float], columns: int) -> None:
    widths = columns_of(amounts, columns)
    assert sum(widths) == columns
    assert min(widths) >= 1


@given(st.floats(0, 30), st.booleans())
def test_what_is_shown_adds_up_to_the_card(others: float, measured: bool) -> None:
    report = tuning.plan_of(measured=measured)
    found = {share.kind: share.gib for share in shares(CAPACITY, report, others)}
    total = sum(found.values())
    assert total == pytest.approx(max(CAPACITY, 19.04 + others), abs=0.05)
    assert found.get("headroom", 0) <= report.limit_gib - 19.04 + 1e-9


def test_what_a_probe_measured_beyond_the_kinds_is_told_as_that() -> None:
    report = tuning.plan_of(measured=True)
    assert report.choice is not None
    more = msgspec.structs.replace(report.choice, peak_gib=19.5)
    found = shares(CAPACITY, msgspec.structs.replace(report, choice=more), 0.0)
    assert {share.kind: share.gib for share in found}["rest"] == pytest.approx(0.46)


def test_every_kind_has_a_glyph_of_its_own() -> None:
    told = [glyph for kind, (glyph, _style) in KINDS.items() if kind != "free"]
    assert len(set(told)) == len(told)
    found = shares(CAPACITY, tuning.plan_of(), 1.0)
    drawn = memory_bar(found, 80).plain
    assert fmt.width(drawn) == 80
    assert set(drawn) == {KINDS[share.kind][0] for share in found}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("columns", [58, 78, 118])
def test_heading_and_legend_stay_within_the_screen(language: str, columns: int) -> None:
    use_language(language)
    report = tuning.plan_of()
    rows = [
        memory_heading(CAPACITY, report, columns),
        *legend(shares(CAPACITY, report, 1.0), 21.8, columns),
    ]
    assert all(fmt.width(row.plain) <= columns for row in rows)


def test_a_small_card_is_told_in_mebibytes() -> None:
    small = msgspec.structs.replace(tuning.plan_of(), by_kind={"weights": 0.04}, limit_gib=0.06)
    choice = tuning.planned("fp32", "2", 0, peak_gib=0.057)
    small = msgspec.structs.replace(small, choice=choice)
    use_language("en")
    assert "peak ~58 of 70 MiB" in memory_heading(0.068, small, 80).plain
    assert "weights 41" in legend(shares(0.068, small, 0.0), 0.068, 80)[0].plain


pixels = st.one_of(st.none(), st.integers(1, 12_000_000))


@given(pixels, pixels, pixels, st.integers(30, 200))
def test_the_number_line_keeps_its_width_and_its_order(
    fits: int | None, fails: int | None, running: int | None, columns: int
) -> None:
    if fits is not None and fails is not None and fits >= fails:
        fits, fails = fails, fits + 1
    most = max(fits or 1, fails or 1, running or 1)
    drawn = number_line(Bracket(fits, fails, running, most), columns).plain
    assert fmt.width(drawn) == columns
    assert ("▶" in drawn) == (running is not None)
    if running is None:
        assert ("✓" in drawn, "✗" in drawn) == (fits is not None, fails is not None)
        if fits is not None and fails is not None:
            assert drawn.index("✓") < drawn.index("✗")


def finished(number: int, size: int, fits: bool, weights: str = "bf16") -> ProbeFinished:
    return ProbeFinished(
        probe=number,
        setup=tuning.setup_at(size, weights=weights),
        fits=fits,
        peak_bytes=None,
        seconds=3.0,
        reason="[b]because",
    )


def test_the_bracket_is_that_of_the_setup_that_is_probed() -> None:
    state = RunState(
        probes=[
            finished(1, 9_000_000, True, weights="nf4"),
            finished(2, 8_000_000, False),
            finished(3, 4_000_000, True),
            finished(4, 3_000_000, False),
        ],
        probing=ProbeStarted(probe=5, setup=tuning.setup_at(6_000_000)),
    )
    assert bracket_of(state) == Bracket(4_000_000, 8_000_000, 6_000_000, 8_000_000)
    assert bracket_of(RunState()) is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("columns", [58, 78, 118])
def test_rows_of_probes_fit_the_screen(language: str, columns: int) -> None:
    use_language(language)
    verdicts = ("fits", "out-of-memory", "host-memory", "timed-out", None)
    probes = [
        msgspec.structs.replace(finished(number, 999_999, verdict == "fits"), verdict=verdict)
        for number, verdict in enumerate(verdicts, start=1)
    ]
    rows = [row.plain for row in finished_rows(probes, columns)]
    running = ProbeStarted(probe=9, setup=tuning.setup_at(999_999))
    rows += [heading(columns).plain, running_row(running, 60.0, columns).plain]
    assert all(fmt.width(row) <= columns for row in rows)
    assert any("[b]because" in row for row in rows)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("room", [58, 78, 118])
def test_the_table_leaves_out_columns_rather_than_run_over(language: str, room: int) -> None:
    use_language(language)
    setups = tuning.plan_of().setups
    columns = [name_cells(setups), *figure_cells(setups, 138_149, room)]
    assert sum(fmt.width(column[1]) + 2 for column in columns) <= room
    assert all(len(column) == len(setups) + 1 for column in columns)
    assert len({len(column[0].split("\n")) for column in columns}) == 1
