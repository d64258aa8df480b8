"""Twenty thousand damaged lines: read, folded, told and printed without a slip."""

import json
import random
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import events
from core.event_bounds import MOST_COUNT
from core.event_log import KEPT_PROBLEMS, MOST_LINE_BYTES, EventReader
from core.events import AnyEvent
from core.run_dir import RunDir
from core.run_watch import watch
from core.visible_text import MOST_CHARACTERS, is_without_form
from kocr_tui.commands.status import line_of as status_line
from kocr_tui.plain import report
from kocr_tui.plain.follow import _Printer
from kocr_tui.strings import use_language
from kocr_tui.views.run_view import RunView

LINES = 20_000
SEED = 20261125
HOSTILE = "간\x1b]52;c;cHduZWQ=\x07\x9b31m\u202e\u2066\u200b\u2028\0[red]x[/][@click=app.quit]"
PLAIN: dict[type, Any] = {
    msgspec.inspect.IntType: 7, msgspec.inspect.FloatType: 1.5, msgspec.inspect.BoolType: True,
    msgspec.inspect.StrType: HOSTILE, msgspec.inspect.DictType: {HOSTILE: HOSTILE},
    msgspec.inspect.NoneType: None,
}  # fmt: skip
NUMBERS = [
    "0", "1", "-1", str(2**53), str(2**63), "1" * 40, "9" * 4000, "0.5", "-0.0", "1e-320", "1e15",
    "1e38", "-1e38", "1e308", "-1e308", "1e999", "NaN", "Infinity", "253402300800",
]  # fmt: skip
OTHERS = ["null", "true", '""', "[]", "{}", '"\\u001b[2J"', '"\\u202e"', '"\\ud800"', "[" * 60]


def sample_of(hint: Any) -> Any:
    """A sound value of a field's type, with hostile text wherever there is text."""
    match hint:
        case msgspec.inspect.UnionType():
            return sample_of(hint.types[0])
        case msgspec.inspect.LiteralType():
            return hint.values[0]
        case msgspec.inspect.StructType():
            return hint.cls(**{field.name: sample_of(field.type) for field in hint.fields})
        case msgspec.inspect.VarTupleType():
            return (sample_of(hint.item_type),) * 2
        case _:
            return PLAIN[type(hint)]


def samples() -> list[AnyEvent]:
    """One event of every kind, with hostile text wherever there is text."""
    made = []
    for kind in AnyEvent.__args__:
        described = msgspec.inspect.type_info(kind)
        assert isinstance(described, msgspec.inspect.StructType)
        fields = {field.name: sample_of(field.type) for field in described.fields}
        made.append(kind(**fields | {"v": 1, "seq": 1, "time": 1.8e9}))
    return made


LITERALS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def damaged(chance: random.Random, line: bytes) -> bytes:
    """``line`` after one of the ways in which a file, or somebody, can spoil it."""
    match chance.randrange(8):
        case 0:
            spoilt = bytearray(line)
            for _ in range(chance.randint(1, 4)):
                spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
            return bytes(spoilt).replace(b"\n", b" ")
        case 1:
            return line[: chance.randrange(1, len(line))]
        case 2:
            place = chance.randrange(len(line))
            return line[:place] + line[chance.randrange(len(line)) :]
        case 3:
            return line.replace(b"{", b'{"step":1,"kind":"log",', 1)
        case _:
            fields = LITERALS.decode(line)
            for name in chance.sample(list(fields), chance.randint(1, 2)):
                is_number = bytes(fields[name])[:1].isdigit() and chance.random() < 0.8
                changed = chance.choice(NUMBERS if is_number else OTHERS)
                fields[name] = msgspec.Raw(changed.encode())
            inside = b",".join(b'"%s":%s' % (k.encode(), bytes(v)) for k, v in fields.items())
            return b"{" + inside + b"}"


def damaged_lines() -> Iterator[bytes]:
    chance = random.Random(SEED)
    lines = [msgspec.json.encode(event) for event in samples()]
    yield from lines
    for _ in range(LINES):
        yield damaged(chance, chance.choice(lines))
    log = b'{"kind":"log","level":"info","message":'
    yield log + b'"' + b"x\\u001b" * 200_000 + b'"}'
    yield log + b"[" * 10_000
    yield b'{"kind":"log","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    yield b'{"kind":"' + b"y" * 1_000_000 + b'"}'
    yield b'{"kind":"state","state":"' + b"z" * 1_000_000 + b'"}'
    yield from lines


def assert_shown_safely(text: str) -> None:
    assert not any(map(is_without_form, text)), ascii(text[:300])
    assert len(text) < 10 * MOST_CHARACTERS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("hostile") / "run"
    folder.mkdir()
    (folder / "events.jsonl").write_bytes(b"\n".join(damaged_lines()) + b'\n{"kind":"lo')
    return RunDir(folder)


@pytest.mark.parametrize("language", ["en", "ko"])
def test_no_damaged_line_stops_a_view_or_reaches_the_terminal(
    run: RunDir, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    view, printer = RunView(run, None, time.time()), _Printer(run.id)
    reader, heard = run.events(), 0
    for event in reader.read():
        view.fold(event)
        printer.show(event)
        heard += 1
    use_language("en")
    assert 1_000 < heard < LINES
    assert len(reader.problems) == KEPT_PROBLEMS
    assert all(len(problem) < 500 for problem in reader.problems)
    assert reader.newer_lines > 0
    assert view.lines
    for line in [*(line.text for line in view.lines), *capsys.readouterr().out.splitlines()]:
        assert_shown_safely(line)


def test_status_of_such_a_run_is_one_safe_line(run: RunDir) -> None:
    watched = watch(run)
    assert_shown_safely(status_line(watched))
    assert_shown_safely(report.as_json(report.status(watched)))


def test_fifty_megabytes_without_an_end_of_line_are_passed_over_once(tmp_path: Path) -> None:
    sound = msgspec.json.encode(next(event for event in samples() if isinstance(event, events.Log)))
    path = tmp_path / "events.jsonl"
    path.write_bytes(sound + b"\n" + b'{"kind":"log","message":"' + b"x" * 50_000_000)
    reader, began = EventReader(path), time.process_time()
    tracemalloc.start()
    try:
        assert len(reader.poll()) == 1
        assert all(reader.poll() == [] for _ in range(100))
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most_bytes < 40_000_000
    with path.open("ab") as file:
        file.write(b'"}\n' + sound + b"\n")
    assert len(reader.poll()) == 1
    assert reader.problems == ["events.jsonl line 2: a line of over 8,388,608 bytes"]
    assert time.process_time() - began < 10
    assert len(EventReader(path).poll()) == 2


@pytest.mark.parametrize("bytes_more", [-1, 0, 1, 1 << 20, 9 << 20])
def test_only_a_line_that_is_too_long_is_lost(tmp_path: Path, bytes_more: int) -> None:
    sound = msgspec.json.encode(next(event for event in samples() if isinstance(event, events.Log)))
    path = tmp_path / "events.jsonl"
    long = b" " * (MOST_LINE_BYTES + bytes_more - len(sound)) + sound
    path.write_bytes(b"\n".join((sound, long, sound, b"", sound, b"{", b"")))
    reader = EventReader(path)
    fits = bytes_more <= 0
    assert len(reader.poll()) == 3 + fits
    assert [problem.split(":")[0] for problem in reader.problems] == [
        f"events.jsonl line {line}" for line in ((6,) if fits else (2, 6))
    ]


IMPOSSIBLE = [
    *[(field, value) for field in ("step", "samples") for value in (-1, MOST_COUNT + 1, 10**300)],
    ("loss", -1e40), ("eta_s", 1e300), ("time", -1.0), ("time", 253_402_300_800),
    ("limit_bytes", 0),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), IMPOSSIBLE)
def test_impossible_figures_are_reported_and_skipped(
    tmp_path: Path, field: str, value: float
) -> None:
    step = next(event for event in samples() if isinstance(event, events.Step))
    sound = msgspec.json.encode(step)
    impossible = json.dumps(msgspec.json.decode(sound) | {field: value}).encode()
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join((sound, impossible, sound, b"")))
    reader = EventReader(path)
    assert len(reader.poll()) == 2
    assert reader.problems == [f"events.jsonl line 2: impossible value of {field}"]
