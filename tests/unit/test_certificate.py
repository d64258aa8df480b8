"""A certificate holds for what was proved and for nothing else."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.config import DataConfig, ModelConfig, RunConfig
from core.events import Setup
from core.planning import PlanReport
from core.profile import load_profile
from core.tune.certificate import (
    Certificate,
    Grounds,
    changes_since,
    grounds_of,
    read_certificate,
    under,
    write_certificate,
)
from core.tune.worst_case import Extremes

CONFIG = RunConfig(
    name="signs",
    model=ModelConfig(path="somewhere"),
    data=DataConfig(train="train.jsonl", validation="validation.jsonl"),
)
EXTREMES = Extremes(sizes=((400, 300),), prompt="읽어주세요", answer="원마트")
SETUP = Setup(
    weights="nf4",
    rank=16,
    targets="language",
    checkpointing="2",
    micro_batch_tokens=4096,
    max_pixels=802_816,
    image_tokens=1024,
)


def grounds(**other: Any) -> Grounds:
    settings: dict[str, Any] = {
        "config": CONFIG,
        "profile": load_profile("rtx4090"),
        "driver": "570.86",
        "limit_bytes": 2**34,
        "versions": {"torch": "2.13.0"},
        "extremes": EXTREMES,
    } | other
    return grounds_of(settings.pop("config"), **settings)


def key(**other: Any) -> str:
    return grounds(**other).key


def changed(section: str, **values: Any) -> RunConfig:
    part = msgspec.structs.replace(getattr(CONFIG, section), **values)
    return msgspec.structs.replace(CONFIG, **{section: part})


@pytest.mark.parametrize(
    "other",
    [
        {"profile": load_profile("rtx3090")},
        {"driver": "580.10"},
        {"limit_bytes": 2**34 - 1},
        {"versions": {"torch": "2.13.1"}},
        {"extremes": msgspec.structs.replace(EXTREMES, sizes=((400, 301),))},
        {"extremes": msgspec.structs.replace(EXTREMES, answer="원마트 (ONE MART)")},
        {"config": changed("model", revision="abc")},
        {"config": changed("lora", rank=32)},
        {"config": changed("tune", max_pixels=200_704)},
        {"config": changed("train", micro_batch_tokens=512)},
        {"config": changed("train", checkpointing="all")},
        {"config": changed("validation", slice_rows=8)},
    ],
)
def test_what_the_proof_depends_on_voids_it(other: dict[str, Any]) -> None:
    assert key(**other) != key()


@pytest.mark.parametrize(
    "config",
    [
        msgspec.structs.replace(CONFIG, name="another"),
        changed("train", epochs=3, learning_rate=5e-5, seed=7),
        changed("data", train="moved/train.jsonl"),
    ],
)
def test_what_memory_does_not_depend_on_leaves_it(config: RunConfig) -> None:
    assert key(config=config) == key()


def certificate_of(found: Grounds) -> Certificate:
    report = PlanReport(
        model="m",
        profile="cpu",
        capacity_gib=1.0,
        limit_gib=1.0,
        choice=None,
        setups=(),
        probes=1,
        why=(),
    )
    return Certificate(
        key=found.key,
        setup=SETUP,
        probes=1,
        peak_bytes=1,
        limit_bytes=2,
        why=(),
        report=report,
        proved_for=found.in_words(),
    )


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"profile": load_profile("rtx3090"), "limit_bytes": 2**33}, {"profile.name": "rtx3090"}),
        ({"driver": "580.10"}, {"driver": "580.10"}),
        ({"limit_bytes": 2**33}, {"limit_bytes": "8.00 GiB"}),
        ({"versions": {"torch": "2.13.1"}}, {"versions.torch": "2.13.1"}),
        ({"extremes": msgspec.structs.replace(EXTREMES, answer="원마트 (ONE)")}, {"extremes": ""}),
        ({"config": changed("model", revision="abc")}, {"model.revision": "abc"}),
        ({"config": changed("lora", rank=32)}, {"lora.rank": "32"}),
    ],
)
def test_what_changed_since_is_told_by_name(
    tmp_path: Path, other: dict[str, Any], told: dict[str, str]
) -> None:
    file = tmp_path / "certificate.json"
    assert changes_since(file, grounds().in_words()) == ()
    write_certificate(file, certificate_of(grounds()))
    changes = changes_since(file, grounds(**other).in_words())
    assert {change.name: change.now for change in changes} == told


def test_a_certificate_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    file.write_bytes(b"{")
    [change] = changes_since(file, grounds().in_words())
    assert change.name == "certificate"


def test_one_on_file_is_taken_for_its_own_key_alone(tmp_path: Path) -> None:
    certificate = certificate_of(grounds())
    file = tmp_path / "certificate.json"
    assert read_certificate(file, key()) is None
    write_certificate(file, certificate)
    assert read_certificate(file, key()) == certificate
    assert read_certificate(file, key(driver="580.10")) is None
    file.write_bytes(file.read_bytes()[:-20])
    assert read_certificate(file, key()) is None


def test_a_setup_decides_what_the_config_left_open() -> None:
    config = under(CONFIG, SETUP)
    assert config.model.dtype == "nf4"
    assert config.train.checkpointing == 2
    named = under(CONFIG, msgspec.structs.replace(SETUP, checkpointing="all"))
    assert named.train.checkpointing == "all"
