"""Hardware profiles: what one kind of card offers, read from TOML."""

import math
import os
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from core import toml_file
from core.errors import UsageError
from core.run_dir import config_home

if TYPE_CHECKING:
    from core.hardware.nvml import Card

Positive = Annotated[float, Meta(gt=0, lt=1e6)]
Dtype = Literal["bf16", "fp16", "fp32"]
BF16_CAPABILITY = (8, 0)
GIB = 2**30
RESERVED = ("auto", "detected")


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One kind of card (or the CPU).

    ``memory_gib`` is the capacity as torch sees it (total memory of the device, GiB);
    ``headroom_gib`` is what the tuner leaves free of it. ``dtypes`` is in order of preference.
    Throughput figures are dense peaks with fp32 accumulation, in TFLOP/s; bandwidth is in
    GB/s (10^9 bytes). ``match`` lists the names that NVML reports for this card, compared as
    whole names, case ignored.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: Annotated[str, Meta(min_length=1)]
    description: Annotated[str, Meta(min_length=1)]
    device: Literal["cuda", "cpu"]
    match: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    memory_gib: Positive
    compute_capability: Annotated[str, Meta(pattern=r"^\d+\.\d+$")] | None = None
    dtypes: Annotated[tuple[Dtype, ...], Meta(min_length=1)]
    bf16_tflops: Positive | None = None
    fp16_tflops: Positive | None = None
    bandwidth_gb_s: Positive | None = None
    headroom_gib: Annotated[float, Meta(ge=0)]

    def __post_init__(self) -> None:
        for problem in _impossible(self):
            raise ValueError(problem)

    @property
    def capability(self) -> tuple[int, int] | None:
        """``compute_capability`` as numbers, so that (12, 0) is above (8, 9)."""
        if self.compute_capability is None:
            return None
        major, minor = self.compute_capability.split(".")
        return int(major), int(minor)

    def capacity_bytes(self, given_gib: float | None = None) -> int:
        """Memory that a run may see: the profile's, or a smaller card's that was asked for."""
        return int((given_gib or self.memory_gib) * GIB)

    def limit_bytes(self, given_gib: float | None = None) -> int:
        """The capacity less the headroom, which shrinks with a smaller capacity."""
        return int(self.capacity_bytes(given_gib) * (1 - self.headroom_gib / self.memory_gib))


def load_profile(name_or_path: str) -> Profile:
    """The profile of that name, in that file, or of this box's card for ``auto``.

    A name is looked up among the user's profiles first, then among the built-in ones.
    Raises UsageError when there is no such profile, or when its file is wrong.
    """
    if name_or_path == "auto":
        from core.hardware.nvml import auto_card

        return pick_profile(auto_card())
    if name_or_path.endswith(".toml") or "/" in name_or_path or os.sep in name_or_path:
        return _read(Path(name_or_path).expanduser())
    known = _known()
    if name_or_path not in known:
        raise UsageError(_unknown(name_or_path, sorted(known)))
    return _read(known[name_or_path])


def list_profiles() -> list[Profile]:
    """Every profile by name, the user's file in the place of a built-in one of the same name.

    Raises UsageError for a file that is wrong, naming the file and the key.
    """
    return sorted((_read(file) for file in _known().values()), key=lambda profile: profile.name)


def pick_profile(card: "Card | None") -> Profile:
    """The profile for ``card``: by NVML's name and memory, the user's profiles first.

    ``None`` gives the ``cpu`` profile; a card that no profile knows gives one named
    ``detected``. Raises UsageError when NVML tells too little about the card.
    """
    if card is None:
        return load_profile("cpu")
    for file in _known().values():
        profile = _read(file)
        if _fits(profile, card):
            return profile
    return _detected(card)


def held_to_card(profile: Profile, card: "Card | None") -> tuple[Profile, str | None]:
    """The profile with at most the card's memory, and a sentence for people if that is less.

    NVML counts up to 4 % more than torch gives, so that much is no difference.
    """
    total = card.total_bytes if card is not None else None
    if total is None or card is None or total / GIB >= 0.98 * profile.memory_gib:
        return profile, None
    memory = math.floor(total / GIB * 0.96 * 10) / 10
    said = (
        f"profile {profile.name} has {profile.memory_gib} GiB, but the {card.name or 'card'} has "
        f"{total / GIB:.1f}: {memory} GiB are counted on; --profile auto takes the card's own"
    )
    headroom = min(profile.headroom_gib, memory / 2)
    return msgspec.structs.replace(profile, memory_gib=memory, headroom_gib=headroom), said


def user_folder() -> Path:
    """Where the user's own profiles live."""
    return config_home() / "profiles"


def _known() -> dict[str, Path | Traversable]:
    """Profile files by name; the user's come first and hide built-in ones of the same name."""
    folder = user_folder()
    own = sorted(folder.glob("*.toml")) if folder.is_dir() else []
    known: dict[str, Path | Traversable] = {path.stem: path for path in own}
    for file in sorted(files("profiles").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            known.setdefault(file.name.removesuffix(".toml"), file)
    return known


def _read(file: Path | Traversable) -> Profile:
    if isinstance(file, Path):
        profile, source = toml_file.read(file, Profile), str(file)
    else:
        source = f"profiles/{file.name}"
        profile = toml_file.decode(file.read_text(encoding="utf-8"), Profile, source)
    stem = file.name.removesuffix(".toml")
    if profile.name in RESERVED:
        raise UsageError(f"{source}: name: {profile.name!r} is reserved, choose another")
    if profile.name != stem:
        raise UsageError(f"{source}: name: {profile.name!r} must be the file's name, {stem!r}")
    return profile


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name.lower(), known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"no hardware profile {name!r}{hint}; known: auto, {', '.join(known)}"


def _impossible(profile: Profile) -> Iterator[str]:
    """What cannot be true of a card, each beginning with the key it is about."""
    if not profile.headroom_gib < profile.memory_gib:
        yield (
            f"headroom_gib: {profile.headroom_gib} leaves nothing of memory_gib"
            f" {profile.memory_gib}"
        )
    if len(set(profile.dtypes)) < len(profile.dtypes):
        yield "dtypes: names a dtype twice"
    for dtype, peak in (("bf16", profile.bf16_tflops), ("fp16", profile.fp16_tflops)):
        if peak is not None and dtype not in profile.dtypes:
            yield f"{dtype}_tflops: given, but dtypes has no {dtype}"
    if profile.device == "cpu":
        if profile.compute_capability is not None:
            yield "compute_capability: a cpu profile has none"
        if profile.match:
            yield "match: a cpu profile matches no card"
        return
    capability = profile.capability
    if capability is None:
        yield "compute_capability: missing, a cuda profile needs it"
    elif "bf16" in profile.dtypes and capability < BF16_CAPABILITY:
        yield f"dtypes: bf16 needs compute_capability 8.0, not {profile.compute_capability}"


def _fits(profile: Profile, card: "Card") -> bool:
    """Same name, and as much memory as the profile says.

    NVML counts up to 4 % more than torch, and 6 % more again where ECC is switched off.
    """
    if card.name is None or card.total_bytes is None:
        return False
    if card.name.casefold() not in (name.casefold() for name in profile.match):
        return False
    return 0.98 <= card.total_bytes / GIB / profile.memory_gib <= 1.12


def _detected(card: "Card") -> Profile:
    """A profile from NVML alone: 4 % off its memory, the largest share torch loses elsewhere."""
    title = card.name or "unknown GPU"
    if card.total_bytes is None or card.compute_capability is None:
        missing = "memory" if card.total_bytes is None else "compute capability"
        raise UsageError(f"{title}: NVML does not tell its {missing}; name a profile instead")
    memory = math.floor(card.total_bytes / GIB * 0.96 * 10) / 10
    # The rule of the built-in desktop profiles: context, fragmentation, a desktop session.
    headroom = math.ceil((0.3 + 0.037 * memory + 0.5) * 10) / 10
    if headroom >= memory:
        raise UsageError(f"{title}: {memory} GiB is too little to train in; use profile 'cpu'")
    half: tuple[Dtype, ...] = ("fp16", "fp32")
    return Profile(
        name="detected",
        title=title,
        description=f"Built from what the driver says of {title}; speeds are not known.",
        device="cuda",
        memory_gib=memory,
        compute_capability=".".join(map(str, card.compute_capability)),
        dtypes=("bf16", *half) if card.compute_capability >= BF16_CAPABILITY else half,
        headroom_gib=headroom,
    )
