"""Throttling, memory errors, Xid errors, MIG and old drivers, through the real pynvml binding."""

from pathlib import Path

import msgspec
import pytest
from fake_nvml import build, run
from hypothesis import given
from hypothesis import strategies as st

from core.hardware.nvml import Card, Process
from core.hardware.nvml.throttle import HARMFUL, throttle_words
from core.hardware.nvml.xid import xid_words

MIB = 2**20
UUID_4090 = "GPU-4090aaaa-0000-0000-0000-000000000001"
UUID_BUSY = "GPU-4090bbbb-0000-0000-0000-000000000001"
UUID_CUT = "GPU-a1000000-0000-0000-0000-000000000041"
FIRST_SLICE = "MIG-a1000000-0000-0000-0000-000000000005"
SECOND_SLICE = "MIG-a1000000-0000-0000-0000-000000000010"
HEAD = (
    "import msgspec, pynvml; from core.hardware import nvml;"
    "show = lambda value: print(msgspec.json.encode(value).decode());"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="module")
def old_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("old"), "-DOLD_DRIVER")


def cards(library: Path, box: str, expression: str, **environment: str) -> list[Card]:
    out = run(library, box, f"{HEAD} show({expression})", **environment)
    return msgspec.json.decode(out, type=list[Card])


def test_the_bits_of_a_busy_card_in_words(library: Path) -> None:
    (card,) = cards(library, "busy4090", "nvml.read_cards()")
    assert card.throttle_reasons == (
        "power cap",
        "hardware slowdown",
        "too hot (hardware)",
        "reason 0x1000",
    )
    assert (card.sm_clock_mhz, card.sm_clock_max_mhz) == (1410, 3105)
    assert (card.memory_clock_mhz, card.memory_clock_max_mhz) == (10251, 10501)
    assert (card.power_w, card.power_limit_w) == (448.7, 450.0)


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (0x0, ()),
        (0x1, ()),
        (0x2, ("application clocks",)),
        (0x4, ("power cap",)),
        (0x5, ("power cap",)),
        (0x8, ("hardware slowdown",)),
        (0x10, ("sync boost with a slower card",)),
        (0x20, ("too warm (driver)",)),
        (0x40, ("too hot (hardware)",)),
        (0x80, ("power brake of the power supply",)),
        (0x100, ("display clocks",)),
        (0x600, ("board limit", "voltage limit")),
        (1 << 63, ("reason 0x8000000000000000",)),
    ],
)
def test_each_throttle_reason_has_words(mask: int, words: tuple[str, ...]) -> None:
    assert throttle_words(mask) == words


@given(st.integers(0, 2**64 - 1))
def test_each_bit_but_idle_gives_one_reason(mask: int) -> None:
    words = throttle_words(mask)
    assert len(set(words)) == len(words) == (mask & ~1).bit_count()
    assert throttle_words(mask | 1) == words


def test_heat_and_hardware_harm_and_a_power_cap_does_not() -> None:
    assert frozenset(throttle_words(0x8 | 0x20 | 0x40 | 0x80)) == HARMFUL


def test_uncorrected_memory_errors_are_counted(library: Path) -> None:
    found = cards(library, "two", "nvml.read_cards()")
    assert [card.ecc_errors for card in found] == [0, 3]


def test_xid_errors_are_those_since_the_last_call(library: Path) -> None:
    code = f"""{HEAD}
with nvml.Monitor() as monitor:
    library = pynvml.nvmlLib
    heard = [monitor.xid_errors({UUID_4090!r})]
    for codes in ((31, 79), (), (48,)):
        for one in codes:
            library.fake_nvml_xid(one)
        heard.append(monitor.xid_errors({UUID_4090!r}))
    sets = [library.fake_nvml_sets()]
sets.append(library.fake_nvml_sets())
show([heard, sets, monitor.xid_errors({UUID_4090!r})])
"""
    heard, sets, after = msgspec.json.decode(run(library, "desktop4090", code))
    assert heard == [[], [31, 79], [], [48]]
    assert sets == [1, 0], "the event set is freed with the monitor"
    assert after is None


def test_asking_what_is_untold_swallows_no_xid_error(library: Path) -> None:
    code = f"""{HEAD}
monitor = nvml.Monitor()
monitor.xid_errors({UUID_4090!r})
pynvml.nvmlLib.fake_nvml_xid(13)
monitor.untold({UUID_4090!r})
pynvml.nvmlLib.fake_nvml_xid(79)
show([monitor.xid_errors({UUID_4090!r}) for _ in range(2)])
"""
    assert run(library, "desktop4090", code) == "[[13,79],[]]\n"


@pytest.mark.parametrize(
    ("box", "uuid"),
    [
        ("bare", "GPU-bare0000-0000-0000-0000-000000000001"),
        ("restricted", "GPU-00000000-0000-0000-0000-0000000000aa"),
        ("lost", "GPU-10510000-0000-0000-0000-000000000001"),
        ("desktop4090", "GPU-nobody"),
        ("not_loaded", UUID_4090),
    ],
)
def test_xid_errors_that_are_not_told_are_none(library: Path, box: str, uuid: str) -> None:
    code = f"""{HEAD}
monitor = nvml.Monitor()
heard = [monitor.xid_errors({uuid!r}) for _ in range(2)]
show([heard, pynvml.nvmlLib.fake_nvml_sets()])
"""
    heard, sets = msgspec.json.decode(run(library, box, code))
    assert (heard, sets) == ([None, None], 0)


def test_a_slice_hears_the_xid_errors_of_its_card(library: Path) -> None:
    code = f"""{HEAD}
monitor = nvml.Monitor()
monitor.xid_errors({FIRST_SLICE!r})
print(pynvml.nvmlLib.fake_nvml_listens_to({UUID_CUT!r}.encode()))
"""
    assert run(library, "mig", code) == "1\n"


def test_xid_codes_are_explained_as_far_as_known() -> None:
    assert xid_words(79) == "79 (fallen off the bus)"
    assert xid_words(12345) == "12345"


def test_a_cut_card_lists_its_slices_past_the_gaps(library: Path) -> None:
    (card,) = cards(library, "mig", "nvml.read_cards()")
    assert (card.uuid, card.mig_mode, card.is_slice) == (UUID_CUT, True, False)
    first, second = cards(library, "mig", f"nvml.Monitor().slices({UUID_CUT!r})")
    assert (first.uuid, second.uuid) == (FIRST_SLICE, SECOND_SLICE)
    assert first.is_slice
    assert first.parent_uuid == UUID_CUT


def test_a_slice_has_its_own_memory_and_shares_the_rest(library: Path) -> None:
    (card,) = cards(library, "mig", f"[nvml.read_card({SECOND_SLICE!r})]")
    assert (card.index, card.total_bytes, card.used_bytes) == (None, 9856 * MIB, 9 * MIB)
    assert card.utilization_percent is None, "the load of the whole card is not the slice's"
    assert (card.temperature_c, card.power_limit_w, card.sm_clock_mhz) == (35, 400.0, 1095)
    assert (card.compute_capability, card.mig_mode, card.ecc_errors) == ((8, 0), True, 0)
    code = f"{HEAD} show(nvml.Monitor().processes({SECOND_SLICE!r}))"
    found = msgspec.json.decode(run(library, "mig", code), type=list[Process])
    assert [process.pid for process in found] == [4242]


@pytest.mark.parametrize(
    ("box", "uuid", "mode"),
    [
        ("desktop4090", UUID_4090, None),
        ("two", "GPU-a1000000-0000-0000-0000-000000000040", False),
        ("uncut", "GPU-a1000000-0000-0000-0000-000000000042", True),
    ],
)
def test_a_card_without_slices(library: Path, box: str, uuid: str, mode: bool | None) -> None:
    (card,) = cards(library, box, f"[nvml.read_card({uuid!r})]")
    assert card.mig_mode is mode
    assert cards(library, box, f"nvml.Monitor().slices({uuid!r})") == []


@pytest.mark.parametrize(
    ("box", "chosen", "expected"),
    [
        ("mig", None, [FIRST_SLICE]),
        ("mig", "0", [FIRST_SLICE]),
        ("mig", UUID_CUT, [FIRST_SLICE]),
        ("mig", SECOND_SLICE, [SECOND_SLICE]),
        ("mig", f"{SECOND_SLICE},{FIRST_SLICE}", [SECOND_SLICE]),
        ("mig", "MIG-nobody", []),
        ("uncut", None, []),
        ("uncut", "0", []),
    ],
)
def test_cuda_sees_one_slice_of_a_cut_card(
    library: Path, box: str, chosen: str | None, expected: list[str]
) -> None:
    environment = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    found = cards(library, box, "nvml.visible_cards()", **environment)
    assert [card.uuid for card in found] == expected


def test_an_old_driver_is_asked_by_the_old_names(old_driver: Path) -> None:
    (card,) = cards(old_driver, "busy4090", "nvml.read_cards()")
    assert (card.total_bytes, card.used_bytes) == (24564 * MIB, 10240 * MIB)
    assert card.free_bytes == (24564 - 10240) * MIB, "version 1 counts what the driver reserves"
    assert card.throttle_reasons is not None
    assert card.throttle_reasons[0] == "power cap"
    code = f"{HEAD} m = nvml.Monitor(); show([m.processes({UUID_BUSY!r}), m.untold({UUID_BUSY!r})])"
    found, untold = msgspec.json.decode(
        run(old_driver, "busy4090", code), type=tuple[list[Process], list[str]]
    )
    assert [process.pid for process in found] == [4242, 1700, 999]
    assert untold == ["ECC errors", "memory of each process", "Xid errors"]
