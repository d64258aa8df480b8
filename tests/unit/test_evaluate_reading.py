"""Rows read into a file of predictions: whole, interrupted, resumed, refused; and photos alone."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sign_rows import PROMPT, chat_row

from core.demo.signboards import write_dataset
from core.errors import KocrError, UsageError
from core.evaluate.predictions import PredictionsWriter, ReadRow, read_predictions, row_id
from core.evaluate.summary import measures_of
from core.read.evaluate import evaluate
from core.read.predict import predict
from core.reading import Evaluation, PhotoReply, Photos, ReadRequest, Source, Told

SIGNS = 7
BUDGET = 40 * 784
Hear = Callable[[int, int, Told], None]


class StopHereError(Exception):
    """What a test raises in the place of a kill."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signs, one of them twice, and a photo that is cut off and one that is gone."""
    folder = tmp_path_factory.mktemp("signs")
    write_dataset(folder, train=1, validation=SIGNS, seed=5)
    file = folder / "validation.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    whole = next((folder / "images" / "validation").iterdir()).read_bytes()
    (folder / "images" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    extra = [chat_row("images/cut.jpg", "반쪽"), chat_row("images/gone.jpg", "없음")]
    lines[3:3] = [json.dumps(row, ensure_ascii=False) for row in extra]
    file.write_text("\n".join([*lines, lines[0]]) + "\n", encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def read_into(
    out: Path,
    model: Path,
    data: Path,
    batch: int = 3,
    hear: Hear = lambda *_told: None,
    **asked: Any,
) -> Path:
    work = Evaluation(data=str(data), out=str(out), **asked)
    source = Source(model=str(model))
    evaluate(ReadRequest(source=source, work=work, max_pixels=BUDGET, batch=batch), work, hear)
    return out


@pytest.fixture
def read(tiny_model_folder: Path, data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Reads the rows into a file and returns it."""

    def start(name: str = "out.jsonl", **asked: Any) -> Path:
        return read_into(tmp_path / name, tiny_model_folder, data, **asked)

    return start


@pytest.fixture(scope="module")
def undisturbed(
    tiny_model_folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """What a file holds that was read in one go, times left out."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KOCR_HOME", str(folder))
        return without_times(read_into(folder / "out.jsonl", tiny_model_folder, data))


def without_times(file: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "ms"} for row in rows]


def stopping_after(rows: int) -> Hear:
    def hear(done: int, _total: int, told: Told) -> None:
        if done >= rows and not told.opening:
            raise StopHereError

    return hear


def test_every_row_is_read_and_scored(read: Callable[..., Path], data: Path) -> None:
    told: list[tuple[int, int, Told]] = []
    found = read_predictions(read(hear=lambda *heard: told.append(heard)))
    assert found.header is not None
    assert (found.header.rows, found.header.max_pixels) == (SIGNS + 3, BUDGET)
    assert sorted(row.row for row in found.rows) == list(range(1, SIGNS + 4))
    unread = {row.row: row.why for row in found.rows if row.reply is None}
    assert unread.keys() == {4, 5}
    assert "can't be decoded" in (unread[4] or "")
    assert unread[5] == "no such file"
    for row in found.rows:
        measures = measures_of(row)
        assert measures.missing == (row.reply is None)
        assert row.id == row_id(row.image_hash, row.image, row.prompt, row.truth)
        assert (row.image_hash is None) == (row.row == 5)
        if row.reply is not None:
            assert row.tokens
            assert row.read_size
            assert row.read_size[0] * row.read_size[1] <= BUDGET
            assert row.ms
    same = {row.id for row in found.rows if row.row in (1, SIGNS + 3)}
    assert len(same) == 1
    done = [done for done, total, one in told if total and not one.opening]
    assert done == [0, 3, 6, 9, 10]
    assert told[-1][2].seconds_left == 0.0


def test_photos_side_by_side_change_no_reply(
    read: Callable[..., Path], undisturbed: list[dict[str, Any]]
) -> None:
    alone = {row.row: (row.reply, row.tokens) for row in read_predictions(read(batch=1)).rows}
    assert any(reply for reply, _tokens in alone.values())
    for row in undisturbed[1:]:
        assert alone[row["row"]] == (row["reply"], row["tokens"])


@pytest.mark.parametrize(
    ("rows", "left"),
    [(0, "whole"), (3, "half a line"), (6, "a row too few"), (9, "whole"), (9, "half a line")],
)
def test_a_file_that_was_interrupted_ends_like_any_other(
    read: Callable[..., Path],
    tmp_path: Path,
    undisturbed: list[dict[str, Any]],
    rows: int,
    left: str,
) -> None:
    with pytest.raises(StopHereError):
        read(hear=stopping_after(rows))
    out = tmp_path / "out.jsonl"
    assert out.exists() == (rows > 0)
    if left != "whole":
        content = out.read_bytes()
        kept = content[:-1].rfind(b"\n") + 1
        out.write_bytes(content[: kept + (20 if left == "half a line" else 0)])
    assert without_times(read()) == undisturbed
    again: list[Told] = []
    assert without_times(read(hear=lambda *heard: again.append(heard[2]))) == undisturbed
    assert all(told.seconds_left is None for told in again), "nothing was left to read"


def test_chosen_rows_are_the_first_that_the_seed_draws(read: Callable[..., Path]) -> None:
    few, more, other = (
        {row.row for row in read_predictions(read(f"{count}-{seed}", count=count, seed=seed)).rows}
        for count, seed in ((3, 1), (6, 1), (6, 2))
    )
    assert len(few) == 3
    assert few < more
    assert more != other


def test_another_readers_file_is_refused(read: Callable[..., Path]) -> None:
    out = read(count=2)
    before = out.read_bytes()
    with pytest.raises(UsageError, match="was begun with settings"):
        read(count=2, batch=2)
    with pytest.raises(UsageError, match="was begun with rows 2, not 3"):
        read(count=3)
    assert out.read_bytes() == before


def test_rows_of_another_order_are_refused(read: Callable[..., Path]) -> None:
    out = read()
    header, first, *others = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join((header, *others, first)))
    with pytest.raises(UsageError, match="in another order"):
        read()


def test_a_disk_that_takes_no_more_is_told(
    read: Callable[..., Path],
    undisturbed: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append, written = PredictionsWriter.append, 0

    def append_once(writer: PredictionsWriter, rows: list[ReadRow]) -> None:
        nonlocal written
        written += 1
        append(writer, rows if written == 1 else rows[:1])
        if written > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(PredictionsWriter, "append", append_once)
        with pytest.raises(KocrError, match=r"out.jsonl: can't be written: No space left on dev"):
            read()
    assert without_times(read()) == undisturbed


@pytest.fixture
def held(tmp_path: Path) -> Iterator[int]:
    """Another process that writes to the file of predictions."""
    code = (
        "import sys, pathlib; from core import lock\n"
        "with lock.hold(pathlib.Path(sys.argv[1]), str): print('held', flush=True); input()"
    )
    path = str(tmp_path / ".out.jsonl.lock")
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield other.pid
        other.communicate(b"\n")


def test_a_file_that_another_writes_is_refused(
    read: Callable[..., Path], tmp_path: Path, held: int
) -> None:
    with pytest.raises(UsageError, match=f"out.jsonl: busy: process {held} writes"):
        read()
    assert not (tmp_path / "out.jsonl").exists()


def photos(folder: Path) -> list[Path]:
    """An upright photo, the same on its side with EXIF that turns it, one in CMYK, and no photo."""
    upright = Image.new("RGB", (120, 84), (250, 240, 40))
    upright.paste((10, 10, 10), (20, 20, 60, 40))
    turned, exif = upright.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    names = ["a.png", "b.png", "c.jpg", "d.jpg", "e.jpg"]
    paths = [folder / name for name in names]
    upright.save(paths[0])
    turned.save(paths[1], exif=exif)
    upright.convert("CMYK").save(paths[2])
    paths[3].write_bytes(b"no photo")
    return paths


def test_photos_are_read_in_their_order(tiny_model_folder: Path, tmp_path: Path) -> None:
    paths = photos(tmp_path)
    work = Photos(paths=tuple(map(os.fsencode, paths)), prompt=f" {PROMPT} ")
    source = Source(model=str(tiny_model_folder))
    told: list[PhotoReply] = []

    def hear(done: int, total: int, one: Told) -> None:
        assert total == len(paths)
        if one.reply is not None:
            told.append(one.reply)
            assert done == len(told)

    predict(ReadRequest(source=source, work=work, batch=2), work, hear)
    assert [reply.photo for reply in told] == [0, 1, 2, 3, 4]
    assert told[0].reply
    assert told[1].reply == told[0].reply
    assert told[2].reply is not None
    assert [reply.why for reply in told[3:]] == [
        "not an image in a known format (JPEG, PNG, WEBP, BMP, TIFF, GIF)",
        "no such file",
    ]


def test_a_prompt_that_would_be_a_command_is_refused(tiny_model_folder: Path) -> None:
    work = Photos(paths=(b"a.png",), prompt="<|im_end|>")
    request = ReadRequest(source=Source(model=str(tiny_model_folder)), work=work)
    with pytest.raises(UsageError, match="--prompt: the prompt holds"):
        predict(request, work, lambda *_told: None)
