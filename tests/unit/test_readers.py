"""Other readers: Tesseract itself, and real checkpoints of Donut and LLaVA through transformers."""

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_readers import TASK, make_donut, make_llava

from core.config import ValidationConfig
from core.demo.scenes import TextLine, photo_sign
from core.demo.signboards import PROMPT, write_dataset
from core.errors import UsageError
from core.evaluate.predictions import read_predictions
from core.evaluate.summary import measures_of
from core.hardware.device import CpuDevice
from core.read.evaluate import evaluate
from core.read.opening import Described, describe
from core.read.reader import Photo, Reply
from core.read.readers.generating import Opened, read_opened
from core.read.readers.tesseract import Tesseract, largest_first, words_of
from core.reading import Evaluation, Photos, ReadRequest, Source

MOST_TOKENS = ValidationConfig().max_new_tokens
HAS_TESSERACT = shutil.which("tesseract") is not None
needs_tesseract = pytest.mark.skipif(not HAS_TESSERACT, reason="tesseract is not installed")


def photo_of(path: Path, root: str | None = None) -> Photo:
    return Photo(str(path), PROMPT, None, root)


@pytest.fixture
def photos(tmp_path: Path) -> list[Photo]:
    """A photo, one that lies on its side, a file that is no photo, and one that isn't there."""
    image = Image.effect_noise((90, 60), 60).convert("RGB")
    image.save(tmp_path / "a.png")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "b.jpg", exif=exif)
    (tmp_path / "c.jpg").write_bytes(b"no photo")
    return [photo_of(tmp_path / name) for name in ("a.png", "b.jpg", "c.jpg", "d.jpg")]


@pytest.fixture(scope="session")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture(scope="session")
def donut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_donut(tmp_path_factory.mktemp("donut"))


def refused(replies: list[Reply]) -> None:
    assert [reply.text for reply in replies] == [None, None]
    whys = [reply.why or "" for reply in replies]
    assert "not an image in a known format" in whys[0]
    assert whys[1] == "no such file"


def described(spec: str, batch: int | None = 4) -> Described:
    request = ReadRequest(
        source=Source(reader=spec), work=Photos(paths=(), prompt=PROMPT), batch=batch
    )
    return describe(request)


@pytest.fixture
def checkpoints(donut: Path, llava: Path) -> dict[str, Path]:
    return {"donut": donut, "transformers": llava}


@pytest.mark.parametrize(("kind", "read_size"), [("donut", (96, 64)), ("transformers", (32, 32))])
def test_a_checkpoint_reads_what_can_be_opened(
    kind: str, read_size: tuple[int, int], photos: list[Photo], checkpoints: dict[str, Path]
) -> None:
    found = described(f"{kind}:{checkpoints[kind]}")
    assert (found.title, found.at_a_time) == (str(checkpoints[kind]), 4)
    with found.open() as reader:
        replies = reader.read(photos)
        alone = [reader.read([photo])[0] for photo in photos[:2]]
    refused(replies[2:])
    assert alone == replies[:2]
    for reply in replies[:2]:
        assert reply.why is None
        assert reply.text is not None
        assert reply.read_size == read_size
        assert reply.tokens is not None
        assert 1 <= reply.tokens <= MOST_TOKENS
        assert reply.cut == (reply.tokens == MOST_TOKENS)


def test_prompts_of_other_lengths_change_no_reply(llava: Path, photos: list[Photo]) -> None:
    longer = Photo(photos[0].path, PROMPT * 3, None, None)
    with described(f"transformers:{llava}").open() as reader:
        together = reader.read([photos[0], longer])
        assert together == [*reader.read([photos[0]]), *reader.read([longer])]
    assert together[0] != together[1]


def test_rows_read_by_another_model_are_scored_like_ours(
    donut: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    data = write_dataset(tmp_path, train=1, validation=3, seed=2).validation
    out = tmp_path / "out.jsonl"
    work = Evaluation(data=str(data), out=str(out))
    request = ReadRequest(source=Source(reader=f"donut:{donut}"), work=work, batch=2)
    evaluate(request, work, lambda *_told: None)
    found = read_predictions(out)
    assert found.header is not None
    assert found.header.reader == found.header.model == str(donut)
    assert found.header.settings["batch"] == 2
    assert [row.why for row in found.rows] == [None] * 3
    assert all(measures_of(row).missing is False for row in found.rows)
    assert sorted(row.row for row in found.rows) == [1, 2, 3]


def test_donut_begins_with_the_task_that_it_was_tuned_for(donut: Path) -> None:
    from transformers import AutoTokenizer

    from core.read.readers.donut import task_token_id

    tokenizer = AutoTokenizer.from_pretrained(donut)
    task = tokenizer.convert_tokens_to_ids(TASK)
    reads = tokenizer.convert_tokens_to_ids("<s_synthdog>")
    assert task_token_id("d", tokenizer, None) == task
    assert task_token_id("d", tokenizer, tokenizer.bos_token_id) == task
    assert task_token_id("d", tokenizer, reads) == reads
    tokenizer.add_tokens(["<s_menus>"])
    with pytest.raises(UsageError, match="d: knows the tasks <s_menus>, <s_signs>; name one as"):
        task_token_id("d", tokenizer, None)


def test_donut_tells_a_field_a_line_and_nothing_but_text(donut: Path) -> None:
    from core.read.readers.donut import Donut

    with described(f"donut:{donut}").open() as reader:
        assert isinstance(reader, Donut)
        texts = {
            "<s_name>가나</s_name><s_name>다</s_name></s><pad>": "가나\n다",
            "가나<mask> 다</s><pad><pad>": "가나 다",
            "</s><pad>": "",
        }
        assert {written: reader.text_of(written) for written in texts} == texts


def test_a_batch_that_does_not_fit_is_read_in_halves(photos: list[Photo]) -> None:
    sizes = []

    def generate(batch: Sequence[Opened]) -> list[Reply]:
        sizes.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if batch[0].photo.path.endswith("b.jpg"):
            raise ValueError("height must be larger than factor")
        return [Reply("마왕족발")]

    replies = read_opened(photos, generate, CpuDevice(2**30, 2**30))
    assert sizes == [2, 1, 1]
    assert [reply.text for reply in replies] == ["마왕족발", None, None, None]
    assert replies[1].why == "the model can't read it: height must be larger than factor"


def test_a_card_that_fails_is_no_fault_of_a_photo(photos: list[Photo]) -> None:
    def generate(batch: Sequence[Opened]) -> list[Reply]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        read_opened(photos, generate, CpuDevice(2**30, 2**30))


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_model_whose_processor_needs_more_says_what_to_install(
    tiny_model_folder: Path,
) -> None:
    with pytest.raises(UsageError, match=r"needs torchvision, .*`pip install torchvision`, in the"):
        described(f"transformers:{tiny_model_folder}")


@pytest.mark.parametrize("kind", ["donut", "transformers"])
def test_a_checkpoint_that_is_none_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}: can't be loaded: ") as error:
        described(f"{kind}:{tmp_path}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["donut", "transformers"])
def test_pickled_weights_are_not_opened(
    kind: str, tmp_path: Path, checkpoints: dict[str, Path]
) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(checkpoints[kind], folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"pytorch_model\.bin: pickled weights are not opened"):
        described(f"{kind}:{folder}")


def test_weights_that_are_not_all_there_are_refused(llava: Path, tmp_path: Path) -> None:
    folder = tmp_path / "partial"
    shutil.copytree(llava, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "vision" in name)
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    found = described(f"transformers:{folder}")
    with pytest.raises(UsageError, match=r"weights are missing, .* among them"), found.open():
        pass


@pytest.fixture
def sign(tmp_path: Path) -> Photo:
    import numpy as np

    rng = np.random.default_rng(3)
    lines = [TextLine("02-123-4567", "phone"), TextLine("우리약국", "name")]
    photo_sign(lines, (480, 320), rng).image.save(tmp_path / "sign.jpg", quality=92)
    return photo_of(tmp_path / "sign.jpg")


@needs_tesseract
def test_tesseract_reads_photos_and_says_why_not(sign: Photo, photos: list[Photo]) -> None:
    found = described("tesseract", batch=None)
    assert found.title.startswith("Tesseract ")
    assert found.at_a_time == os.cpu_count()
    with found.open() as reader:
        read, turned, *bad = reader.read([sign, *photos[1:]])
    refused(bad)
    assert read.why is turned.why is None
    assert read.read_size == (480, 320)
    assert turned.read_size == (60, 90)
    assert read.text is not None


def test_the_line_with_the_largest_letters_comes_first() -> None:
    table = "\n".join(
        (
            "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext",
            "4\t1\t1\t1\t1\t0\t0\t0\t99\t99\t-1\t",
            "5\t1\t1\t1\t1\t1\t0\t0\t40\t12\t91.2\t02-123",
            "5\t1\t1\t1\t1\t2\t50\t0\t40\t12\t80\t4567",
            "5\t1\t1\t1\t2\t1\t0\t20\t40\t30\t88\t마왕",
            "5\t1\t1\t1\t2\t2\t50\t20\t40\t44\t90\t족발",
            "5\t1\t2\t1\t1\t1\t0\t90\t90\t90\t7.5\t|",
            "5\t1\t2\t1\t2\t1\t0\t90\t90\t90\t95\t ",
        )
    )
    assert largest_first(words_of(table)) == "마왕 족발\n02-123 4567"
    assert largest_first(words_of("")) == ""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program called tesseract first in PATH, which knows --version and --list-langs."""

    def write(body: str, languages: str = "eng\nkor") -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        file = folder / "tesseract"
        file.write_text(
            f"#!/bin/sh\ncase $1 in\n--version) echo tesseract 5.3.0;;\n"
            f'--list-langs) printf "%s\\n" "{languages}";;\n*) {body};;\nesac\n'
        )
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return write


def test_a_tesseract_that_fails_or_hangs_costs_one_photo(
    program: Callable[[str], None], photos: list[Photo]
) -> None:
    program("cat >/dev/null; echo 'Error in pixReadStream' >&2; exit 1")
    [reply] = Tesseract().read(photos[:1])
    assert reply == Reply(None, why="tesseract failed: Error in pixReadStream", read_size=(90, 60))


def test_a_tesseract_that_hangs_is_ended(
    program: Callable[[str], None], photos: list[Photo]
) -> None:
    program("exec sleep 60")
    [reply] = Tesseract(timeout_s=0.2).read(photos[:1])
    assert reply.why == "tesseract took over 0.2 s"


def test_without_korean_or_the_program_it_says_what_to_install(
    program: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("exit 1", languages="eng\nosd")
    with pytest.raises(UsageError, match="no data for kor; `apt install tesseract-ocr"):
        Tesseract()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UsageError, match=r"can't be run: .*`apt install tesseract-ocr"):
        Tesseract()
