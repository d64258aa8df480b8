"""The NVML reader against a stand-in library, through the real pynvml binding."""

from pathlib import Path

import msgspec
import pytest
from fake_nvml import build, run

from core.hardware.nvml import Card, Process

MIB = 2**20
UUID_4090 = "GPU-4090aaaa-0000-0000-0000-000000000001"
UUID_BARE = "GPU-bare0000-0000-0000-0000-000000000001"
UUID_RESTRICTED = "GPU-00000000-0000-0000-0000-0000000000aa"
UUID_40 = "GPU-a1000000-0000-0000-0000-000000000040"
UUID_80 = "GPU-a1000000-0000-0000-0000-000000000080"
UUID_BUSY = "GPU-4090bbbb-0000-0000-0000-000000000001"
HEAD = (
    "import sys, msgspec; from core.hardware import nvml;"
    "show = lambda value: print(msgspec.json.encode(value).decode());"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml"))


def cards(library: Path, box: str, expression: str = "nvml.read_cards()") -> list[Card]:
    return msgspec.json.decode(run(library, box, f"{HEAD} show({expression})"), type=list[Card])


def test_a_4090_with_a_desktop(library: Path) -> None:
    assert cards(library, "desktop4090") == [
        Card(
            index=0,
            uuid=UUID_4090,
            name="NVIDIA GeForce RTX 4090",
            total_bytes=24564 * MIB,
            used_bytes=459 * MIB,
            free_bytes=(24564 - 360 - 459) * MIB,
            utilization_percent=0,
            temperature_c=41,
            power_w=22.5,
            power_limit_w=450.0,
            sm_clock_mhz=210,
            sm_clock_max_mhz=3105,
            memory_clock_mhz=405,
            memory_clock_max_mhz=10501,
            throttle_reasons=(),
            driver_version="570.133.07",
            cuda_version="12.8",
            compute_capability=(8, 9),
            display_active=True,
        )
    ]


def test_a_card_that_tells_only_name_and_memory(library: Path) -> None:
    (card,) = cards(library, "bare")
    assert card == Card(
        index=0,
        uuid=UUID_BARE,
        name="NVIDIA GeForce RTX 4090 Laptop GPU",
        total_bytes=16376 * MIB,
        used_bytes=100 * MIB,
        free_bytes=16276 * MIB,
        driver_version="570.133.07",
        cuda_version="12.8",
    )
    code = f"{HEAD} show(nvml.Monitor().processes({UUID_BARE!r}))"
    assert run(library, "bare", code) == "[]\n"


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ("not_loaded", ["not loaded", "sudo modprobe nvidia"]),
        ("forbidden", ["no permission", "/dev/nvidia"]),
        ("odd", ["NVML did not start", "an odd failure"]),
    ],
)
def test_a_driver_that_does_not_start_gives_a_reason(
    library: Path, box: str, words: list[str]
) -> None:
    code = f"{HEAD} show([nvml.why_unavailable(), nvml.read_cards(), nvml.read_card('GPU-1')])"
    reason, found, one = msgspec.json.decode(run(library, box, code))
    assert found == []
    assert one is None
    assert "\n" not in reason
    for word in words:
        assert word in reason


def test_no_library_gives_a_reason(tmp_path: Path) -> None:
    blocked = "import ctypes, sys\ndef gone(*a): raise OSError('no such library')\n"
    blocked += "import pynvml; pynvml.CDLL = gone\n"
    code = f"{blocked}{HEAD} show([nvml.why_unavailable(), nvml.read_cards(), nvml.auto_card()])"
    reason, found, picked = msgspec.json.decode(run(tmp_path, "", code))
    assert reason.startswith("no NVIDIA driver: libnvidia-ml.so.1 was not found: install")
    assert found == []
    assert picked is None


def test_a_driver_that_works_gives_no_reason(library: Path) -> None:
    assert run(library, "two", f"{HEAD} show(nvml.why_unavailable())") == "null\n"


def test_a_lost_card_is_lost_and_not_merely_silent(library: Path) -> None:
    (card,) = cards(library, "lost")
    assert card.lost
    assert card.total_bytes is None
    assert card.name == "NVIDIA L4"


def test_a_card_outside_the_container_is_left_out(library: Path) -> None:
    assert [card.name for card in cards(library, "hidden")] == ["Tesla T4"]


def test_one_card_by_uuid(library: Path) -> None:
    code = f"{HEAD} show([nvml.read_card({UUID_80!r}), nvml.read_card('GPU-nobody')])"
    card, nobody = msgspec.json.decode(run(library, "two", code), type=tuple[Card, Card | None])
    assert (card.index, card.name) == (1, "NVIDIA A100-SXM4-80GB")
    assert nobody is None


def test_processes_are_merged_named_and_sorted(library: Path) -> None:
    code = f"{HEAD} show(nvml.Monitor().processes({UUID_BUSY!r}))"
    found = msgspec.json.decode(run(library, "busy4090", code), type=list[Process])
    assert found == [
        Process(pid=4242, used_bytes=9 * 2**30, name="/usr/bin/python3.11"),
        Process(pid=1700, used_bytes=400 * MIB, name="/usr/lib/xorg/Xorg"),
        Process(pid=999, used_bytes=None, name=None),
    ]


@pytest.mark.parametrize(
    ("box", "uuid", "tells"),
    [
        ("busy4090", UUID_BUSY, True),
        ("two", UUID_40, True),
        ("bare", UUID_BARE, False),
        ("restricted", UUID_RESTRICTED, False),
        ("lost", "GPU-10510000-0000-0000-0000-000000000001", False),
        ("two", "GPU-nobody", False),
    ],
)
def test_no_processes_and_no_answer_differ(library: Path, box: str, uuid: str, tells: bool) -> None:
    code = f"{HEAD} show(nvml.Monitor().tells_processes({uuid!r}))"
    assert msgspec.json.decode(run(library, box, code)) is tells


SILENT = [
    "utilisation",
    "temperature",
    "power",
    "power limit",
    "SM clock",
    "memory clock",
    "highest SM clock",
    "highest memory clock",
    "throttling",
    "ECC errors",
    "whether it drives a display",
    "compute capability",
    "its processes",
    "Xid errors",
]


@pytest.mark.parametrize(
    ("box", "uuid", "untold"),
    [
        ("desktop4090", UUID_4090, ["ECC errors"]),
        ("busy4090", UUID_BUSY, ["ECC errors", "memory of each process"]),
        ("two", UUID_40, []),
        ("bare", UUID_BARE, SILENT),
        ("restricted", UUID_RESTRICTED, SILENT),
        ("two", "GPU-nobody", []),
    ],
)
def test_what_a_card_does_not_tell_is_said(
    library: Path, box: str, uuid: str, untold: list[str]
) -> None:
    code = f"{HEAD} show(nvml.Monitor().untold({uuid!r}))"
    assert msgspec.json.decode(run(library, box, code)) == untold


def test_each_untold_field_has_words() -> None:
    others = {"index", "uuid", "free_bytes", "mig_mode", "parent_uuid", "lost"}
    assert len(Card().untold()) == len(set(Card.__struct_fields__) - others)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("0", [UUID_40]),
        ("1,0", [UUID_80, UUID_40]),
        (" 1 ", [UUID_80]),
        (UUID_80, [UUID_80]),
        (UUID_40[:-2], []),
        (f"{UUID_80[:-1]}", [UUID_80]),
        ("MIG-a1000000-0000-0000-0000-000000000005", []),
        ("1,7,0", [UUID_80]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
        ("0,0", []),
        (f"0,{UUID_40}", []),
    ],
)
def test_cuda_visible_devices(library: Path, chosen: str, expected: list[str]) -> None:
    code = f"{HEAD} show([card.uuid for card in nvml.Monitor().visible()])"
    out = run(library, "two", code, CUDA_VISIBLE_DEVICES=chosen)
    assert msgspec.json.decode(out) == expected


def test_a_monitor_starts_nvml_once_and_shuts_it_down(library: Path) -> None:
    code = f"""{HEAD}
import pynvml
with nvml.Monitor() as monitor:
    started = pynvml.nvmlLib.fake_nvml_started
    counts = [started()]
    for _ in range(3):
        assert monitor.card({UUID_4090!r}).temperature_c == 41
        monitor.cards()
    counts.append(started())
counts.append(started())
monitor.close()
counts.append(started())
assert monitor.cards() == [] and monitor.card({UUID_4090!r}) is None
show(counts)
"""
    assert run(library, "desktop4090", code) == "[1,1,0,0]\n"


def test_reading_cards_imports_no_torch(library: Path) -> None:
    code = f"{HEAD} nvml.read_cards(); show([*{{'torch', 'numpy'}}.intersection(sys.modules)])"
    assert run(library, "two", code) == "[]\n"


@pytest.mark.parametrize(
    ("box", "chosen", "profile"),
    [
        ("desktop4090", "0", "rtx4090"),
        ("two", "0", "a100-40gb"),
        ("two", "1", "a100-80gb"),
        ("hidden", "0", "t4"),
        ("desktop4090", "", "cpu"),
        ("not_loaded", "0", "cpu"),
    ],
)
def test_auto_picks_the_profile_of_the_card(
    library: Path, box: str, chosen: str, profile: str
) -> None:
    code = "from core.profile import load_profile; print(load_profile('auto').name)"
    out = run(library, box, code, CUDA_VISIBLE_DEVICES=chosen, KOCR_CONFIG="/nonexistent")
    assert out == f"{profile}\n"
