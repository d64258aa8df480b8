"""Figures and foreign text made fit for a terminal; pure functions."""

import math
import time

from rich.cells import cell_len, get_character_cell_size

from core import visible_text
from core.evaluate.text import Score

GIB = 2**30
MIB = 2**20
NOTHING = "–"
visible = visible_text.visible


def size(count: float | None) -> str:
    """Bytes as GiB from 1 GiB on, else as MiB: ``21.30 GiB``, ``412 MiB``."""
    if count is None:
        return NOTHING
    return f"{count / GIB:.2f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"


def duration(seconds: float | None) -> str:
    """Seconds in two units at most: ``1h 02m``, ``3m 07s``, ``41s``, ``2d 04h``."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return NOTHING
    whole = round(seconds)
    days, hours, minutes, rest = (
        whole // 86400,
        whole // 3600 % 24,
        whole // 60 % 60,
        whole % 60,
    )
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def clock_time(moment: float, now: float) -> str:
    """Local time of day, after the date where the day isn't today: ``21:42``, ``11-25 06:10``."""
    then = time.localtime(moment)
    same_day = then[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same_day else "%m-%d %H:%M", then)


def rate(samples_per_s: float | None) -> str:
    """Samples a second with three figures that mean something: ``12.3``, ``0.041``."""
    if samples_per_s is None or not math.isfinite(samples_per_s):
        return NOTHING
    if samples_per_s >= 100:
        return f"{samples_per_s:.0f}"
    if samples_per_s >= 10:
        return f"{samples_per_s:.1f}"
    return f"{samples_per_s:.2f}" if samples_per_s >= 0.1 else f"{samples_per_s:.3f}"


def number(value: float) -> str:
    """A loss or a learning rate in few characters: ``0.412``, ``1.0e-04``."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.3g}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.1e}"


def percent(score: Score | None, interval: bool = True) -> str:
    """A share with its 95 % interval: ``63.5 % [57–69]``."""
    if score is None or score.value is None:
        return NOTHING
    value = f"{score.value * 100:.1f} %"
    return f"{value} [{score.low * 100:.0f}–{score.high * 100:.0f}]" if interval else value


def width(text: str) -> int:
    """Columns that visible text takes in a terminal, as Textual counts them."""
    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns, ended by an ellipsis where it was longer."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for character in text:
        step = get_character_cell_size(character)
        if used + step > columns - 1:
            break
        kept.append(character)
        used += step
    return "".join(kept) + "…" if columns > 0 else ""


def cut_middle(text: str, columns: int) -> str:
    """``text`` in at most ``columns`` columns, an ellipsis for its middle where it was longer."""
    if width(text) <= columns or columns < 3:
        return cut(text, columns)
    start = cut(text, columns // 2 + 1).removesuffix("…")
    room, end = columns - 1 - width(start), ""
    for character in reversed(text):
        if width(character + end) > room:
            break
        end = character + end
    return f"{start}…{end}"


def pad(text: str, columns: int) -> str:
    """``text`` in exactly ``columns`` columns, filled on the right."""
    fitting = cut(text, columns)
    return fitting + " " * max(0, columns - width(fitting))


def pad_left(text: str, columns: int) -> str:
    """``text`` in exactly ``columns`` columns, filled on the left."""
    fitting = cut(text, columns)
    return " " * max(0, columns - width(fitting)) + fitting


def bar(share: float, columns: int) -> str:
    """A bar of ``columns`` columns, full up to ``share`` in eighths of a column."""
    eighths = round(min(1.0, max(0.0, share)) * columns * 8)
    whole, rest = divmod(eighths, 8)
    drawn = "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "")
    return drawn + "░" * (columns - len(drawn))


def pixels(max_pixels: int) -> str:
    """A pixel budget for people: ``1.00 MP``, ``200,704 px``."""
    return f"{max_pixels / 1e6:.2f} MP" if max_pixels >= 1_000_000 else f"{max_pixels:,} px"
