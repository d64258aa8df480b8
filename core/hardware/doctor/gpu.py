"""The card: what it is, who else uses it, and whether it is well."""

import os
from collections.abc import Iterator
from pathlib import Path

from core.errors import UsageError
from core.hardware.doctor.finding import Finding, gib
from core.hardware.nvml import Card, Monitor
from core.hardware.nvml.throttle import HARMFUL
from core.hardware.nvml.xid import xid_words
from core.profile import GIB, pick_profile, user_folder


def gpu(monitor: Monitor, visible: list[Card], wsl: bool) -> Iterator[Finding]:
    """What CUDA would use, its profile, its neighbours and its health."""
    if not visible:
        yield _no_card(monitor, wsl)
        return
    card = visible[0]
    if card.lost:
        yield Finding("GPU", "failure", f"GPU {card.index} no longer answers", "sudo reboot")
        return
    display = ", drives a display" if card.display_active else ""
    room = f"{gib(card.free_bytes)} of {gib(card.total_bytes)} free"
    yield Finding("GPU", "ok", f"{card.name or 'unnamed'}, {room}{display}")
    versions = f"{card.driver_version or '?'}, runs CUDA up to {card.cuda_version or '?'}"
    yield Finding("driver", "ok", versions)
    yield profile(card)
    yield from _order(monitor)
    yield mig(monitor, card)
    yield tenants(monitor, card)
    yield from throttling(card)
    yield from memory_errors(card)


def _no_card(monitor: Monitor, wsl: bool) -> Finding:
    if monitor.reason is not None:
        remedy = "update the NVIDIA driver in Windows, then: wsl --shutdown" if wsl else None
        return Finding("GPU", "warning", f"no GPU: {monitor.reason}", remedy or monitor.remedy)
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    uncut = [card.index for card in monitor.cards() if card.mig_mode]
    if uncut and hidden is None:
        detail = f"no GPU: GPU {uncut[0]} is in MIG mode and has no slices"
        return Finding("GPU", "warning", detail, f"sudo nvidia-smi -i {uncut[0]} -mig 0")
    if hidden is None:
        return Finding("GPU", "warning", "no GPU: the driver lists none", "nvidia-smi -L")
    detail = f"CUDA_VISIBLE_DEVICES={hidden!r} shows no card"
    return Finding("GPU", "warning", detail, "unset CUDA_VISIBLE_DEVICES")


def profile(card: Card) -> Finding:
    """The hardware profile that ``auto`` takes."""
    try:
        found = pick_profile(card)
    except UsageError as error:
        return Finding("profile", "failure", str(error), f"ls {user_folder()}")
    if found.name == "detected":
        detail = f"none knows {card.name}: a cautious one of {found.memory_gib} GiB is used"
        return Finding("profile", "warning", detail, f"describe it in {user_folder()}/NAME.toml")
    detail = f"{found.name}: {found.memory_gib} GiB, {found.headroom_gib} left free"
    return Finding("profile", "ok", detail)


def _order(monitor: Monitor) -> Iterator[Finding]:
    ordered = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if len({card.name for card in monitor.cards()}) > 1 and not ordered:
        detail = "several kinds of card, and CUDA counts them differently from nvidia-smi"
        yield Finding("GPU order", "warning", detail, "export CUDA_DEVICE_ORDER=PCI_BUS_ID")


def mig(monitor: Monitor, card: Card) -> Finding:
    """Whether CUDA gets a slice, and whether it was asked for."""
    if not card.is_slice:
        detail = "this card has none" if card.mig_mode is None else "off: the whole card is used"
        return Finding("MIG", "ok", detail)
    if f"{card.uuid}" in os.environ.get("CUDA_VISIBLE_DEVICES", ""):
        return Finding("MIG", "ok", f"the slice {card.uuid} is used")
    slices = monitor.slices(card.parent_uuid or "")
    listed = ", ".join(f"{one.uuid} ({gib(one.total_bytes)})" for one in slices)
    detail = f"on, and CUDA takes the first slice of: {listed}"
    return Finding("MIG", "warning", detail, f"export CUDA_VISIBLE_DEVICES={card.uuid}")


def tenants(monitor: Monitor, card: Card) -> Finding:
    """The other processes on the card, with their memory."""
    check, uuid = "other processes", card.uuid or ""
    if not monitor.tells_processes(uuid):
        detail = f"the driver does not tell; {gib(card.used_bytes)} of memory are in use"
        return Finding(check, "info", detail, "nvidia-smi")
    others = [one for one in monitor.processes(uuid) if one.pid != os.getpid()]
    if not others:
        return Finding(check, "ok", "none on the card")
    listed = ", ".join(
        f"{one.pid} {Path(one.name).name if one.name else '?'} ({gib(one.used_bytes)})"
        for one in others
    )
    heavy = [one for one in others if one.used_bytes is None or one.used_bytes > GIB]
    if not heavy:
        return Finding(check, "ok", listed)
    fix = "kill " + " ".join(str(one.pid) for one in heavy) + "  (only if they are yours)"
    return Finding(check, "warning", f"they leave less memory: {listed}", fix)


def throttling(card: Card) -> Iterator[Finding]:
    """Whether the clocks are held down now; a power cap under load is how cards are made."""
    reasons = card.throttle_reasons
    if reasons is None:
        return
    now = _clocks(card)
    if HARMFUL.intersection(reasons):
        fix = "check fans, dust and power cables; nvidia-smi -q -d PERFORMANCE,TEMPERATURE"
        yield Finding("throttling", "warning", ", ".join(reasons) + now, fix)
    elif reasons:
        yield Finding("throttling", "info", ", ".join(reasons) + now)
    else:
        yield Finding("throttling", "ok", f"none{now}")


def _clocks(card: Card) -> str:
    """Temperature, power and clocks, as far as the card tells them: `` (61 °C, 402 W)``."""
    parts = []
    if card.temperature_c is not None:
        parts.append(f"{card.temperature_c} °C")
    if card.power_w is not None:
        limit = "" if card.power_limit_w is None else f" of {card.power_limit_w:.0f}"
        parts.append(f"{card.power_w:.0f}{limit} W")
    if card.sm_clock_mhz is not None:
        highest = "" if card.sm_clock_max_mhz is None else f" of {card.sm_clock_max_mhz:,}"
        parts.append(f"{card.sm_clock_mhz:,}{highest} MHz")
    return f" ({', '.join(parts)})" if parts else ""


def memory_errors(card: Card) -> Iterator[Finding]:
    """Uncorrected ECC errors, which end a run or spoil it."""
    if card.ecc_errors:
        detail = f"{card.ecc_errors} uncorrected since the driver was loaded"
        fix = "nvidia-smi -q -d ECC,ROW_REMAPPER  (a reset or a new card is due)"
        yield Finding("memory errors", "warning", detail, fix)
    elif card.ecc_errors == 0:
        yield Finding("memory errors", "ok", "none uncorrected")


def xid_errors(monitor: Monitor, card: Card) -> Iterator[Finding]:
    """Xid errors since the monitor began to listen."""
    codes = monitor.xid_errors(card.uuid or "")
    if codes:
        detail = ", ".join(xid_words(code) for code in dict.fromkeys(codes))
        fix = "sudo dmesg | grep -i xid"
        yield Finding("Xid errors", "failure", f"while this was examined: {detail}", fix)
    elif codes is not None:
        yield Finding("Xid errors", "ok", "none while this was examined")


def untold(monitor: Monitor, card: Card) -> Iterator[Finding]:
    """What the card does not tell, so that a missing figure in the console is no riddle."""
    if words := monitor.untold(card.uuid or ""):
        yield Finding("not told", "info", f"by card and driver: {', '.join(words)}")
