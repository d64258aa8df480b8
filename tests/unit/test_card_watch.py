"""The watch of a run's cards, through the real NVML binding, and its ends."""

import re
from pathlib import Path

import msgspec
import pytest
from fake_nvml import build, run

from core.errors import GpuLostError, StoppedError
from core.hardware.cuda_error import is_cuda_error
from core.train.cards import watch
from core.train.cards.watch import CardWatch

UUID = "GPU-4090aaaa-0000-0000-0000-000000000001"
SECOND = "GPU-a1000000-0000-0000-0000-000000000080"
HEAD = f"""
import json, os, threading
from pathlib import Path
from core.errors import GpuLostError, StoppedError
from core.hardware.nvml import Monitor, read_card, visible_cards
from core.train.cards.watch import CardWatch
told, heard = [], threading.Event()
def tell(trouble):
    told.append([trouble.what, list(trouble.codes)])
    heard.set()
def end(why):
    print(json.dumps(["ended", why]), flush=True)
    os._exit(0)
def trouble(*lines):
    Path(os.environ["FAKE_NVML_TROUBLES"]).write_text("\\n".join(lines))
card = read_card("{UUID}")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def outcome(library: Path, code: str, box: str = "desktop4090", troubles: str = "") -> object:
    file = library / "troubles"
    file.write_text(troubles)
    return msgspec.json.decode(run(library, box, HEAD + code, FAKE_NVML_TROUBLES=str(file)))


def test_an_error_while_the_run_works_is_heard_by_itself_and_ends_the_block(library: Path) -> None:
    code = """
try:
    with CardWatch([card], tell, end) as watch:
        watch.check()
        trouble("xid 31", "xid 79")
        assert heard.wait(60)
        try:
            watch.check()
        except GpuLostError as error:
            raise StoppedError("on the way out") from error
except GpuLostError as error:
    print(json.dumps([told, str(error), type(error.__cause__).__name__]))
"""
    told, why, cause = outcome(library, code)  # type: ignore[misc]
    assert told == [["xid", [31, 79]]]
    assert why.startswith("NVIDIA GeForce RTX 4090 (GPU 0): Xid 79 (fallen off the bus); restart")
    assert cause == "StoppedError"


def test_an_error_from_before_the_run_is_none_of_its_own(library: Path) -> None:
    code = """
with CardWatch([card], tell, end) as watch:
    watch.confirm()
print(json.dumps(told))
"""
    assert outcome(library, code, troubles="xid 79\n") == []


@pytest.mark.parametrize(
    ("line", "what"), [("throttle 64", "throttled"), ("ecc 2", "memory-errors"), ("xid 94", "xid")]
)
def test_what_ends_nothing_is_told(library: Path, line: str, what: str) -> None:
    code = f"""
cards = visible_cards()
with CardWatch(cards, tell, end) as watch:
    trouble({line!r})
    watch.confirm()
print(json.dumps([one[0] for one in told]))
"""
    # The stand-in has one event set, which the first of the two cards listens to.
    assert set(outcome(library, code, box="two")) == {what}  # type: ignore[call-overload]


def test_a_card_that_is_lost_ends_a_block_that_went_well(library: Path) -> None:
    code = """
try:
    with CardWatch([card], tell, end):
        trouble("lost 1")
except GpuLostError as error:
    print(json.dumps([told, str(error)]))
"""
    told, why = outcome(library, code)  # type: ignore[misc]
    assert told == [["lost", []]]
    assert "the driver no longer reaches it; reset it (`sudo nvidia-smi -r -i 0`)" in why


def test_a_main_thread_that_hangs_on_a_lost_card_is_ended(library: Path) -> None:
    code = """
with CardWatch([card], tell, end, patience=0.1):
    trouble("lost 1")
    threading.Event().wait()
"""
    ended, why = outcome(library, code)  # type: ignore[misc]
    assert ended == "ended"
    assert "the driver no longer reaches it" in why


def test_a_main_thread_that_leaves_is_not_ended(library: Path) -> None:
    code = """
try:
    with CardWatch([card], tell, end, patience=3600):
        trouble("lost 1")
        assert heard.wait(60)
except GpuLostError:
    watching = [one.name for one in threading.enumerate() if one.name == "card-watch"]
    print(json.dumps(watching))
"""
    assert outcome(library, code) == []


def test_no_card_and_no_nvml_are_no_trouble(library: Path) -> None:
    code = """
for cards in ([], [card]):
    os.environ["FAKE_NVML"] = "not_loaded"
    with CardWatch(cards, tell, end) as watch:
        watch.confirm()
print(json.dumps(told))
"""
    assert outcome(library, code) == []


@pytest.mark.parametrize(
    ("troubles", "words", "urgent"),
    [
        ("", None, None),
        ("action 1", "the driver asks for a reset", True),
        ("action 2", "the driver asks for a reboot", True),
        ("action 3", None, None),
        ("action 4", "the driver advises a reset", False),
        ("action 4\npending 1", "a faulty memory row waits for a reset to be remapped", False),
        ("action 1\npending 1", "the driver asks for a reset", True),
    ],
)
def test_what_the_driver_wants_done(
    library: Path, troubles: str, words: str | None, urgent: bool | None
) -> None:
    code = f"""
found = Monitor().repair("{UUID}")
print(json.dumps(None if found is None else [found.words, found.urgent]))
"""
    expected = None if words is None else [words, urgent]
    assert outcome(library, code, troubles=troubles) == expected


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA driver error: unknown error"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling"), True),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp, unhandled cuda error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: none"), False),
        (StoppedError("stopped on request"), False),
        (None, False),
    ],
)
def test_which_errors_are_cudas(error: BaseException | None, is_one: bool) -> None:
    assert is_cuda_error(error) is is_one


@pytest.mark.parametrize(
    "error", ["RuntimeError('CUDA error: unknown error')", "GpuLostError('x')"]
)
def test_what_nvml_tells_seconds_after_cuda_is_the_reason(library: Path, error: str) -> None:
    code = f"""
try:
    with CardWatch([card], tell, end):
        threading.Timer(1.0, trouble, ["xid 79"]).start()
        raise {error}
except GpuLostError as error:
    print(json.dumps(str(error)))
"""
    assert "Xid 79 (fallen off the bus)" in outcome(library, code)  # type: ignore[operator]


def test_of_another_processs_lost_card_nvml_may_know_nothing(library: Path) -> None:
    code = """
try:
    with CardWatch([card], tell, end):
        raise GpuLostError("process 2 of 2: CUDA error: unknown error")
except GpuLostError as error:
    print(json.dumps(str(error)))
"""
    assert outcome(library, code) == "process 2 of 2: CUDA error: unknown error"


@pytest.mark.parametrize("lost", [True, False])
def test_an_error_of_cuda_is_a_lost_card_only_where_the_process_cannot_go_on(
    monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    monkeypatch.setattr(watch, "context_is_lost", lambda: lost)
    words = "CUDA error: an illegal memory access was encountered"
    told: list[object] = []
    expected = GpuLostError if lost else RuntimeError
    with (
        pytest.raises(expected, match=re.escape(words)) as caught,
        CardWatch([], told.append, print),
    ):
        raise RuntimeError(f"{words}\nSearch for `cudaErrorIllegalAddress'")
    if lost:
        assert "NVML tells of no fault; resume checks the card first" in str(caught.value)
