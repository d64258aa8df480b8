"""Forecasts and probes as a report for people and programs."""

from collections.abc import Sequence

import msgspec

from core.data.dataset import SignRows
from core.planning import PlannedSetup, PlanReport
from core.profile import GIB, Profile
from core.tune.case import Case
from core.tune.forecast import Forecast, Giant
from core.tune.space import Choice, Fastest, Goal, Largest, Outcome, WithinHours, choose

# Where speed alone is asked for: photos on which a person still reads the signs.
FASTEST_TOKENS = 1024
_DAY_HOURS = 24.0


def goal_of(hours: float | None, fastest: bool, rows: int) -> Goal:
    """What is asked for."""
    if hours is not None:
        return WithinHours(hours, rows)
    return Fastest() if fastest else Largest()


def outcome_of(found: Forecast) -> Outcome:
    """A forecast as the choice between setups sees it."""
    return Outcome(found.candidate, found.tokens, found.samples_per_s, found.peak_bytes)


def pick(found: Sequence[Forecast], goal: Goal) -> tuple[Forecast | None, Choice]:
    """The forecast to take for a goal, None where none fits, and why."""
    outcomes = [outcome_of(one) for one in found if one.fits]
    chosen = choose(outcomes, goal)
    if chosen.outcome is None:
        return None, chosen
    taken = next(one for one in found if one.fits and outcome_of(one) == chosen.outcome)
    return taken, chosen


def planned(found: Forecast, case: Case, limit_bytes: int, *, rows: int | None) -> PlannedSetup:
    """A forecast in the words of a report; ``rows`` None leaves hours an epoch out."""
    candidate = found.candidate
    rate = found.samples_per_s
    return PlannedSetup(
        weights=candidate.weights,
        rank=candidate.rank,
        targets=candidate.targets,
        checkpointing=str(candidate.checkpointing),
        micro_batch_tokens=micro_batch_tokens(case, found),
        max_pixels=case.pixels(found.tokens),
        image_tokens=max(case.image_tokens(found.tokens)),
        peak_gib=found.peak_bytes / GIB,
        headroom_gib=(limit_bytes - found.peak_bytes) / GIB,
        samples_per_s=rate,
        feasible=found.fits,
        shrunk_share=case.shrunk_share(found.tokens),
        hours_an_epoch=rows / rate / 3600 if rows and rate else None,
    )


def micro_batch_tokens(case: Case, found: Forecast) -> int:
    """Tokens of the worst micro-batch of a forecast."""
    samples = case.micro_batch(found.tokens, found.row_tokens)
    return max(found.row_tokens, sum(len(sample) for sample in samples))


def report_of(
    model: str,
    profile: Profile,
    capacity_bytes: int,
    limit_bytes: int,
    case: Case,
    found: Sequence[Forecast],
    taken: Forecast | None,
    why: tuple[str, ...],
    *,
    rows: int | None,
    giant: str | None = None,
) -> PlanReport:
    """The plan of all setups with the one that was ``taken``; ``giant`` names the largest photo.

    ``rows`` None leaves hours an epoch out.
    """
    told = [(one, planned(one, case, limit_bytes, rows=rows)) for one in found]
    setups = [
        msgspec.structs.replace(setup, chosen=True) if one is taken else setup
        for one, setup in told
    ]
    choice = next((setup for setup in setups if setup.chosen), None)
    shown = taken or min(found, key=lambda one: one.peak_bytes)
    return PlanReport(
        model=model,
        profile=profile.name,
        capacity_gib=capacity_bytes / GIB,
        limit_gib=limit_bytes / GIB,
        choice=choice,
        setups=tuple(sorted(setups, key=_best_first)),
        probes=0,
        why=why,
        warnings=tuple(warnings(choice, shown, giant)),
        by_kind={kind: size / GIB for kind, size in shown.traced.by_kind.items()},
        by_phase={phase: size / GIB for phase, size in shown.traced.by_phase.items()},
        rows=rows,
        largest_photo=case.worst(max(case.native())),
    )


def largest_photo(rows: SignRows) -> str:
    """The file of the photo with the most pixels."""
    return rows.photos[int(rows.sizes.prod(axis=1).argmax())]


def warnings(choice: PlannedSetup | None, shown: Forecast, giant: str | None) -> list[str]:
    """What a person should know before training."""
    told = []
    if choice is not None and (choice.hours_an_epoch or 0) > _DAY_HOURS:
        days = (choice.hours_an_epoch or 0) / _DAY_HOURS
        told.append(
            f"An epoch takes {days:,.1f} days at this budget; --hours H looks for the largest one "
            "that ends in time, --max-pixels N fixes it."
        )
    if shown.giant is not None and giant is not None:
        told.append(f"{giant}: {_of_giant(shown.giant)}")
    return told


def _of_giant(giant: Giant) -> str:
    return (
        f"this photo alone has {giant.tokens:,} image tokens, the next {giant.following:,}: left "
        f"out, or shrunk to that size, the worst case would take {giant.costs_bytes / GIB:.2f} "
        "GiB less"
    )


def _best_first(setup: PlannedSetup) -> tuple[bool, bool, int, float]:
    return (
        not setup.chosen,
        not setup.feasible,
        -setup.image_tokens if setup.feasible else 0,
        -(setup.samples_per_s or 0.0),
    )
