"""Hardware profiles: the built-in ones, the user's own, and what `auto` picks."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import profiles
from core.errors import UsageError
from core.hardware.nvml import Card
from core.profile import Profile, list_profiles, load_profile, pick_profile, user_folder

FOLDER = Path(profiles.__file__).parent
BUILT_IN = [
    "a100-40gb",
    "a100-80gb",
    "cpu",
    "h100",
    "h200",
    "l4",
    "l40s",
    "rtx3060-12gb",
    "rtx3090",
    "rtx4060ti-16gb",
    "rtx4080",
    "rtx4090",
    "rtx5090",
    "t4",
]
MINE = """
name = "{name}"
title = "Mine"
description = "A card of mine."
device = "cuda"
match = ["NVIDIA Mine"]
memory_gib = 11
headroom_gib = 1
compute_capability = "8.6"
dtypes = ["bf16", "fp32"]
"""


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for the user's own profiles."""
    monkeypatch.setenv("KOCR_CONFIG", str(tmp_path))
    folder = tmp_path / "profiles"
    folder.mkdir()
    return folder


def card(name: str, mib: int, capability: tuple[int, int] | None = (8, 9)) -> Card:
    return Card(index=0, name=name, total_bytes=mib * 2**20, compute_capability=capability)


def test_every_built_in_profile_is_listed_by_name() -> None:
    assert [profile.name for profile in list_profiles()] == BUILT_IN
    assert sorted(file.stem for file in FOLDER.glob("*.toml")) == BUILT_IN


def test_the_4090() -> None:
    profile = load_profile("rtx4090")
    assert profile.memory_gib == 23.5
    assert profile.capability == (8, 9)
    assert profile.dtypes == ("bf16", "fp16", "fp32")
    assert profile.bf16_tflops == 165.2
    assert profile.bandwidth_gb_s == 1008


def test_the_t4_has_no_bf16() -> None:
    profile = load_profile("t4")
    assert profile.dtypes == ("fp16", "fp32")
    assert (profile.fp16_tflops, profile.bf16_tflops) == (65, None)


def test_a_capability_is_compared_as_numbers() -> None:
    blackwell = load_profile("rtx5090").capability
    assert blackwell is not None
    assert blackwell > (8, 9)
    assert load_profile("cpu").capability is None


@pytest.mark.parametrize("name", [name for name in BUILT_IN if name != "cpu"])
def test_headroom_covers_context_fragmentation_and_a_desktop(name: str) -> None:
    profile = load_profile(name)
    desktop = 0.5 if name.startswith("rtx") else 0.0
    needed = 0.3 + 0.037 * profile.memory_gib + desktop
    assert needed <= profile.headroom_gib < needed + 0.1


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_figure_has_a_comment_before_it(name: str) -> None:
    lines = (FOLDER / f"{name}.toml").read_text().splitlines()
    previous = ""
    for line in lines:
        if line.startswith(("memory_gib", "bf16_tflops", "bandwidth_gb_s", "headroom_gib")):
            assert previous.startswith("# "), line
        previous = line


@pytest.mark.parametrize(
    ("name", "mib", "expected"),
    [
        ("NVIDIA GeForce RTX 4090", 24564, "rtx4090"),
        ("nvidia geforce rtx 4090", 24564, "rtx4090"),
        ("NVIDIA GeForce RTX 3090", 24576, "rtx3090"),
        ("NVIDIA GeForce RTX 4080", 16376, "rtx4080"),
        ("NVIDIA GeForce RTX 4060 Ti", 16380, "rtx4060ti-16gb"),
        ("NVIDIA GeForce RTX 4060 Ti", 8188, "detected"),
        ("NVIDIA GeForce RTX 3060", 12288, "rtx3060-12gb"),
        ("NVIDIA GeForce RTX 3060", 8192, "detected"),
        ("NVIDIA GeForce RTX 5090", 32607, "rtx5090"),
        ("NVIDIA L4", 23034, "l4"),
        ("Tesla T4", 15360, "t4"),
        ("NVIDIA A100-SXM4-40GB", 40960, "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", 81920, "a100-80gb"),
        ("NVIDIA A100 80GB PCIe", 81920, "a100-80gb"),
        ("NVIDIA A100-SXM4-40GB", 4864, "detected"),
        ("NVIDIA L40S", 46068, "l40s"),
        ("NVIDIA L40S", 49140, "l40s"),
        ("NVIDIA H100 80GB HBM3", 81559, "h100"),
        ("NVIDIA H100 PCIe", 81559, "detected"),
        ("NVIDIA H200", 143771, "h200"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, "detected"),
        ("NVIDIA GeForce RTX 4090", 49140, "detected"),
        ("NVIDIA GeForce RTX 4080 SUPER", 16376, "detected"),
    ],
)
def test_auto_matches_name_and_memory(name: str, mib: int, expected: str) -> None:
    assert pick_profile(card(name, mib)).name == expected


def test_no_card_is_the_cpu() -> None:
    assert pick_profile(None) == load_profile("cpu")


def test_an_unknown_card_gives_a_cautious_profile() -> None:
    profile = pick_profile(card("NVIDIA RTX 6000 Ada Generation", 49140))
    assert profile.title == "NVIDIA RTX 6000 Ada Generation"
    assert profile.device == "cuda"
    assert profile.memory_gib == 46.0
    assert profile.headroom_gib == 2.6
    assert profile.compute_capability == "8.9"
    assert profile.dtypes[0] == "bf16"
    assert profile.bf16_tflops is None


def test_an_unknown_old_card_gets_no_bf16() -> None:
    profile = pick_profile(card("Quadro RTX 6000", 24576, (7, 5)))
    assert profile.dtypes == ("fp16", "fp32")


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (card("NVIDIA Odd", 8192, None), "NVIDIA Odd: NVML does not tell its compute capability"),
        (Card(name="NVIDIA Odd", compute_capability=(9, 0)), "does not tell its memory"),
        (card("NVIDIA Tiny", 512), "too little to train in"),
    ],
)
def test_a_card_that_tells_too_little(unknown: Card, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        pick_profile(unknown)


@given(mib=st.integers(min_value=2048, max_value=400_000))
def test_a_detected_profile_stays_below_what_nvml_counts(mib: int) -> None:
    profile = pick_profile(card("NVIDIA Unheard Of", mib))
    assert profile.name == "detected"
    assert profile.headroom_gib < profile.memory_gib <= mib / 1024 * 0.97


def test_the_users_own_profile(config: Path) -> None:
    (config / "mine.toml").write_text(MINE.format(name="mine"))
    assert load_profile("mine").memory_gib == 11.0
    assert "mine" in [profile.name for profile in list_profiles()]
    assert pick_profile(card("NVIDIA Mine", 11 * 1024 + 300)).name == "mine"


def test_the_users_file_hides_the_built_in_one_of_its_name(config: Path) -> None:
    (config / "rtx4090.toml").write_text(MINE.format(name="rtx4090"))
    assert load_profile("rtx4090").title == "Mine"
    assert [profile.name for profile in list_profiles()] == BUILT_IN


def test_the_users_profile_is_tried_before_built_in_ones(config: Path) -> None:
    text = MINE.format(name="zz").replace("NVIDIA Mine", "NVIDIA GeForce RTX 3060")
    (config / "zz.toml").write_text(text)
    assert pick_profile(card("NVIDIA GeForce RTX 3060", 12288)).name == "zz"


def test_a_profile_by_path(tmp_path: Path) -> None:
    path = tmp_path / "lab-card.toml"
    path.write_text(MINE.format(name="lab-card"))
    assert load_profile(str(path)).name == "lab-card"


def test_without_kocr_config_the_platforms_folder_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOCR_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/someone/.config")
    assert user_folder() == Path("/home/someone/.config/kocr-tui/profiles")


def test_an_unknown_profile_names_the_closest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        load_profile("RTX-4090")
    assert str(caught.value) == (
        "no hardware profile 'RTX-4090' (did you mean 'rtx4090'?); known: auto, "
        + ", ".join(BUILT_IN)
    )


def test_a_hopeless_name_gets_no_guess() -> None:
    with pytest.raises(UsageError, match=r"no hardware profile 'zzz'; known: auto, a100-40gb"):
        load_profile("zzz")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("headroom_gib = 1", "headroom_gib = 11", "headroom_gib: 11.0 leaves nothing of"),
        ("headroom_gib = 1", "headroom_gib = -1", "headroom_gib: expected `float` >= 0"),
        ("memory_gib = 11", "memory_gib = inf", "memory_gib: expected `float` < "),
        ("memory_gib = 11", "memory_gib = nan", "memory_gib: expected `float` > 0"),
        ("headroom_gib = 1", "headroom_gib = nan", "headroom_gib: expected `float` >= 0"),
        ('compute_capability = "8.6"', "", "compute_capability: missing"),
        ('"8.6"', '"8"', "compute_capability: expected `str` matching"),
        ('"8.6"', '"7.5"', "dtypes: bf16 needs compute_capability 8.0, not 7.5"),
        ('"fp32"]', '"bf16"]', "dtypes: names a dtype twice"),
        ('"fp32"]', '"fp8"]', "dtypes[1]: invalid enum value 'fp8'"),
        ("dtypes =", "fp16_tflops = 9\ndtypes =", "fp16_tflops: given, but dtypes has no fp16"),
        ('device = "cuda"', 'device = "cpu"', "compute_capability: a cpu profile has none"),
        ('title = "Mine"', 'title = "Mine"\ncolour = 1', "colour: unknown key"),
        ('name = "bad"', 'name = "other"', "name: 'other' must be the file's name, 'bad'"),
        ('name = "bad"', 'name = "auto"', "name: 'auto' is reserved"),
        ('name = "bad"', 'name = "a b"', "name: expected `str` matching"),
    ],
)
def test_impossible_values_name_the_file_and_the_key(
    config: Path, old: str, new: str, message: str
) -> None:
    path = config / "bad.toml"
    path.write_text(MINE.format(name="bad").replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_profile("bad")
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_cpu_profile_matches_no_card(config: Path) -> None:
    text = MINE.format(name="bad").replace('"cuda"', '"cpu"')
    (config / "bad.toml").write_text(text.replace('compute_capability = "8.6"', ""))
    with pytest.raises(UsageError, match="match: a cpu profile matches no card"):
        load_profile("bad")


def test_the_profiles_travel_as_package_data() -> None:
    settings = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert (FOLDER / "__init__.py").is_file()
    assert settings["package-data"]["profiles"] == ["*.toml"]
    assert "profiles*" in settings["packages"]["find"]["include"]


def test_importing_profiles_is_light() -> None:
    code = "import sys, core.profile; print({'torch', 'numpy', 'pynvml'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_a_profile_is_frozen() -> None:
    profile: Profile = load_profile("cpu")
    with pytest.raises(AttributeError):
        profile.memory_gib = 1.0  # type: ignore[misc]
