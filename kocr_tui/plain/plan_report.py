"""A plan for people: setups in a table, what fits, and what the memory is for."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from core.planning import PlannedSetup, PlanReport
from kocr_tui import format as fmt
from kocr_tui.strings import say

_ROWS = 100_000
_BAR = 32
_PHASES = ("vision", "forward", "backward", "optimizer", "generation")
_KINDS = ("weights", "adapter", "optimizer", "activations", "logits", "kv_cache")


def lines(report: PlanReport, *, why: bool = False, fixed: bool = False) -> Iterator[str]:
    """The report, line by line, 80 columns wide where rank and targets are one.

    ``why`` adds the decisions, ``fixed`` tells that the pixel budget was asked for.
    """
    yield from _about(report)
    yield ""
    yield from _table(report, fixed=fixed)
    yield from _legend(report)
    if report.choice is None:
        yield _nothing_fits(report)
    yield from (f"! {fmt.visible(warning)}" for warning in report.warnings)
    if fixed and len(report.setups) == 1 and report.by_kind:
        yield from _bars("kind", _KINDS, report.by_kind, report.limit_gib)
        yield from _bars("phase", _PHASES, report.by_phase, report.limit_gib)
    if why:
        yield from ("", say("plan.why"))
        yield from (f"  {fmt.visible(sentence)}" for sentence in report.why)


def _about(report: PlanReport) -> Iterator[str]:
    width, height = report.largest_photo
    facts = {
        "plan.model": fmt.visible(report.model),
        "plan.card": say(
            "plan.memory",
            profile=fmt.visible(report.profile),
            capacity=gib(report.capacity_gib),
            limit=gib(report.limit_gib),
        ),
        "plan.photo": f"{width:,} x {height:,}",
    }
    if report.setups and not _several_loras(report.setups):
        first = report.setups[0]
        facts["plan.lora"] = say("plan.rank", rank=first.rank, targets=first.targets)
    if report.rows is not None:
        facts["plan.rows"] = f"{report.rows:,}"
    columns = max(fmt.width(say(key)) for key in facts)
    for key, text in facts.items():
        yield f"{fmt.pad(say(key), columns)}  {text}"


def _table(report: PlanReport, *, fixed: bool) -> Iterator[str]:
    """Heads of two lines, a row a setup; one that doesn't fit says what it would take."""
    names = setup_names(report.setups)
    name_heads = say("plan.head.lora" if _several_loras(report.setups) else "plan.head.setup")
    heads = [_head(name) for name in ("budget", "tokens", "shrunk", "peak", "headroom", "speed")]
    heads.append(_head("hours" if report.rows is not None else "hours_rows"))
    feasible = [setup for setup in report.setups if setup.feasible]
    figures = [setup_figures(setup, report.rows, _nothing()) for setup in feasible]
    texts = [*zip(*heads, strict=True), *figures]
    widths = [max(map(fmt.width, column)) for column in zip(*texts, strict=True)]
    first = max(map(fmt.width, (*names, *name_heads.split("|"))))
    for name, cells in zip(name_heads.split("|"), zip(*heads, strict=True), strict=True):
        yield ("  " + fmt.pad(name, first) + (_right(cells, widths) if figures else "")).rstrip()
    rest = iter(figures)
    for setup, name in zip(report.setups, names, strict=True):
        mark = _drawn("▸", ">") if setup.chosen else " "
        row = _right(next(rest), widths) if setup.feasible else "  " + _too_large(setup, fixed)
        yield f"{mark} {fmt.pad(name, first)}{row}"


def _head(name: str) -> list[str]:
    return say(f"plan.head.{name}").split("|")


def _right(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join("  " + fmt.pad_left(*pair) for pair in zip(cells, widths, strict=True))


def setup_names(setups: Sequence[PlannedSetup]) -> list[str]:
    """Weights and checkpointing, with rank and targets where they differ, in columns."""
    parts = [
        [setup.weights, *_lora(setup, setups), checkpointing_name(setup.checkpointing)]
        for setup in setups
    ]
    widths = [max(map(fmt.width, column)) for column in zip(*parts, strict=True)]
    return [
        " ".join(fmt.pad(*pair) for pair in zip(row, widths, strict=True)).rstrip() for row in parts
    ]


def _lora(setup: PlannedSetup, setups: Sequence[PlannedSetup]) -> list[str]:
    ranks, targets = ({one.rank for one in setups}, {one.targets for one in setups})
    rank = [str(setup.rank)] if len(ranks) > 1 else []
    return rank + ([setup.targets] if len(targets) > 1 else [])


def _several_loras(setups: Sequence[PlannedSetup]) -> bool:
    return len({(setup.rank, setup.targets) for setup in setups}) > 1


def checkpointing_name(text: str) -> str:
    """``1 in 4`` for every fourth layer, and words for all, none and whatever else there is."""
    if text in {"all", "none"}:
        return say(f"plan.every_{text}")
    return say("plan.every", n=text) if text.isdecimal() else text


def setup_figures(setup: PlannedSetup, rows: int | None, nothing: str = fmt.NOTHING) -> list[str]:
    """Budget, image tokens, photos shrunk, peak, headroom, samples a second, hours an epoch.

    Where ``rows`` is None the hours are for 100,000 photos; ``nothing`` is for what isn't known.
    """
    hours = setup.hours_an_epoch
    if rows is None and setup.samples_per_s:
        hours = _ROWS / setup.samples_per_s / 3600
    speed_mark = _mark(setup.speed)
    return [
        fmt.pixels(setup.max_pixels),
        f"{setup.image_tokens:,}",
        nothing if setup.shrunk_share is None else f"{setup.shrunk_share * 100:.0f} %",
        _mark(setup.peak) + gib(setup.peak_gib),
        gib(setup.headroom_gib),
        nothing if setup.samples_per_s is None else speed_mark + fmt.rate(setup.samples_per_s),
        nothing if hours is None else speed_mark + fmt.rate(hours),
    ]


def _mark(source: str) -> str:
    return "~" if source == "predicted" else ""


def _too_large(setup: PlannedSetup, fixed: bool) -> str:
    return say(
        "plan.too_large_fixed" if fixed else "plan.too_large",
        peak=_mark(setup.peak) + gib(setup.peak_gib),
        budget=fmt.pixels(setup.max_pixels),
    )


def _legend(report: PlanReport) -> Iterator[str]:
    sources = {source for setup in report.setups for source in (setup.peak, setup.speed)}
    notes = [say("plan.predicted")] if "predicted" in sources else []
    if "measured" in sources:
        key = "plan.others_measured" if notes else "plan.measured"
        notes.append(say(key, probes=report.probes))
    if notes:
        yield "  " + "; ".join(notes)
    if report.rows is None and any(setup.feasible for setup in report.setups):
        yield "  " + say("plan.no_rows")


def _nothing_fits(report: PlanReport) -> str:
    """The least memory that would do, and the card that leaves so much to a run."""
    least = min((setup.peak_gib for setup in report.setups), default=report.limit_gib)
    card = least * report.capacity_gib / report.limit_gib
    limit = gib(report.limit_gib)
    return f"! {say('plan.nothing_fits', limit=limit, least=gib(least), card=gib(card))}"


def _bars(
    section: str, known: Sequence[str], figures: Mapping[str, float], limit_gib: float
) -> Iterator[str]:
    """A bar for each figure (GiB), as long as its share of what the run may use."""
    if not figures:
        return
    yield ""
    yield say(f"plan.bars.{section}", limit=gib(limit_gib))
    names = [
        say(f"plan.{section}.{name}") if name in known else fmt.visible(name) for name in figures
    ]
    columns = max(map(fmt.width, names))
    for name, amount in zip(names, figures.values(), strict=True):
        share = amount / limit_gib
        bar = _drawn(fmt.bar(share, _BAR), ("#" * round(min(1.0, share) * _BAR)).ljust(_BAR, "."))
        yield f"  {fmt.pad(name, columns)}  {bar}  {gib(amount):>6} GiB  {share * 100:5.1f} %"


def gib(amount: float) -> str:
    """GiB with three figures or more that mean something: ``0.106``, ``21.30``, ``120.4``."""
    size = abs(amount)
    if size < 0.0005:
        return "0"
    return f"{amount:.3f}" if size < 1 else f"{amount:.2f}" if size < 100 else f"{amount:.1f}"


def _nothing() -> str:
    return _drawn(fmt.NOTHING, "-")


def _drawn(text: str, plain: str) -> str:
    """``text``, or ``plain`` where standard output can't show it."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return plain
    return text
