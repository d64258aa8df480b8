"""The search for what fits."""

import msgspec

from core.events.base import Event, Setup, Verdict


class Planned(Event, frozen=True, kw_only=True, tag="planned"):
    """Of ``total`` setups, ``done`` have been planned."""

    done: int
    total: int


class ProbeStarted(Event, frozen=True, kw_only=True, tag="probe-started"):
    """A worst-case trial of a pixel budget began in a process of its own."""

    probe: int
    setup: Setup


class ProbeFinished(Event, frozen=True, kw_only=True, tag="probe-finished"):
    """What the trial showed; ``reason`` is one sentence; ``peak_bytes`` is None if it failed.

    ``verdict`` is the reason for programs, with ``limit_bytes`` that the trial could have had;
    ``host-memory`` is a card that went on, slowly, in the host's memory.
    """

    probe: int
    setup: Setup
    fits: bool
    peak_bytes: int | None
    seconds: float
    reason: str
    verdict: Verdict | None = None
    limit_bytes: int | None = None


class Tuned(Event, frozen=True, kw_only=True, tag="tuned"):
    """The setup to train with, how many probes it took, and the chain of decisions."""

    choice: Setup
    probes: int
    reused: bool
    why: tuple[str, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A thing that a proof was made for, by its dotted name, as it was and as it is.

    ``before`` and ``now`` are words, empty where it wasn't there or has no short ones.
    """

    name: str
    before: str
    now: str


class CertificateVoided(Event, frozen=True, kw_only=True, tag="certificate-voided"):
    """What was proved to fit this run holds no longer, since these changed; tuning follows.

    The names begin with ``model``, ``lora``, ``tune``, ``batch``, ``checkpointing``,
    ``generation``, ``profile``, ``driver``, ``limit_bytes``, ``versions`` or ``extremes`` (of the
    data); ``certificate`` is the file itself, which can't be read or doesn't say.
    """

    changes: tuple[Change, ...]
