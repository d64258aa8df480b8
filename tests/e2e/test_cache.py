"""Image features are computed once: in the first epoch, or ahead of training."""

from pathlib import Path

import msgspec
import pytest
from asked import asked_of
from e2e_box import Box, write_config

from core.data.feature_store import FeatureStore
from core.run_dir import RunDir, create_run
from core.run_watch import watch
from core.train import fill

pytestmark = pytest.mark.e2e
PHOTOS = 48
replace = msgspec.structs.replace


def stores(home: Path) -> list[Path]:
    return sorted((home / "cache" / "features").iterdir())


def test_the_first_epoch_fills_the_cache(box: Box, finished: RunDir) -> None:
    said = [line.message for line in watch(finished).state.log]
    assert any(line.startswith("image features are cached in ") for line in said)
    assert max(len(FeatureStore(folder, 640)) for folder in stores(box.home)) == PHOTOS


def test_it_can_be_filled_ahead_and_trained_from(box: Box, tmp_path: Path) -> None:
    config = replace(box.config, train=replace(box.config.train, epochs=1))
    elsewhere = Box(tmp_path, config)
    file = write_config(tmp_path / "run.toml", config)
    done = elsewhere.kocr("cache", str(file))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"{PHOTOS} photos, ")
    [folder] = stores(tmp_path)
    before = (folder / "features.bin").stat()
    run = create_run(elsewhere.runs, config)
    run.request("abort")
    again = elsewhere.kocr("cache", run.id)
    assert again.returncode == 0, again.stderr
    assert len(asked_of(run)) == 1, "it's for the worker that trains"
    trained = elsewhere.kocr("train", "-c", str(file), "--headless")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    after = (folder / "features.bin").stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"train": {"feature_cache_gib": 1e-6}}, 1, "over train.feature_cache_gib"),
        ({"train": {"feature_cache_gib": 0.0}}, 1, "train.feature_cache_gib is 0"),
        ({"lora": {"targets": "all"}}, 1, "image features change in training"),
        ({"tune": {"max_pixels": None}}, 2, "the pixel budget isn't known yet"),
    ],
)
def test_what_cannot_be_cached_is_told_in_one_line(
    box: Box,
    tmp_path: Path,
    change: dict[str, dict[str, object]],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = box.config
    for section, fields in change.items():
        config = replace(config, **{section: replace(getattr(config, section), **fields)})
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    # The signals of a process that lives on are its own.
    monkeypatch.setattr(fill.StopSignals, "install", lambda _signals: None)
    assert fill.main([str(write_config(tmp_path / "run.toml", config))]) == code
    said = capsys.readouterr().err
    assert words in said.strip().splitlines()[-1]
    assert "Traceback" not in said
