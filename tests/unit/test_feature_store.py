"""The cache of image features: found by content, whole or not there, shared by processes."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from core.data.feature_store import FeatureStore

WIDTH = 6


def values(tokens: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (tokens, WIDTH), dtype=np.uint8)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "가게.jpg"
    path.write_bytes(b"a photo")
    return path


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "features", WIDTH)


def put(store: FeatureStore, photo: Path, tokens: int = 3, seed: int = 0) -> None:
    key = store.key(str(photo))
    assert key is not None
    store.put(key, values(tokens, seed))


def got(store: FeatureStore, photo: Path, tokens: int = 3) -> np.ndarray | None:
    key = store.key(str(photo))
    assert key is not None
    return store.get(key, tokens)


def test_what_was_put_comes_back(store: FeatureStore, photo: Path) -> None:
    assert got(store, photo) is None
    put(store, photo)
    assert np.array_equal(got(store, photo), values(3))
    assert len(store) == 1
    assert store.used_bytes() == 3 * WIDTH
    assert np.array_equal(got(FeatureStore(store.folder, WIDTH), photo), values(3))


def test_what_a_crash_left_unindexed_is_written_over(store: FeatureStore, photo: Path) -> None:
    put(store, photo)
    with (store.folder / "features.bin").open("ab") as file:
        file.write(b"x" * 100)
    assert store.used_bytes() == 3 * WIDTH
    other = photo.with_name("other.jpg")
    other.write_bytes(b"other")
    put(store, other, seed=1)
    assert store.used_bytes() == 6 * WIDTH
    assert np.array_equal(got(store, photo), values(3))
    assert np.array_equal(got(store, other), values(3, seed=1))


def test_an_index_that_takes_nothing_is_a_disk_that_takes_nothing(
    store: FeatureStore, photo: Path
) -> None:
    (store.folder / "index.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(OSError, match=r"index\.sqlite: file is not a database"):
        put(store, photo)


def test_the_same_content_elsewhere_is_the_same_photo(store: FeatureStore, photo: Path) -> None:
    put(store, photo)
    twin = photo.with_name("twin.jpg")
    twin.write_bytes(photo.read_bytes())
    assert np.array_equal(got(store, twin), values(3))


def test_another_content_under_the_same_name_is_another_photo(
    store: FeatureStore, photo: Path
) -> None:
    put(store, photo)
    photo.write_bytes(b"another photo")
    assert got(store, photo) is None


def test_another_size_of_the_grid_is_no_hit(store: FeatureStore, photo: Path) -> None:
    put(store, photo)
    assert got(store, photo, tokens=4) is None


def test_a_missing_photo_has_no_key(store: FeatureStore, tmp_path: Path) -> None:
    assert store.key(str(tmp_path / "none.jpg")) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_values_count_as_missing(store: FeatureStore, photo: Path, damage: str) -> None:
    put(store, photo)
    file = store.folder / "features.bin"
    data = bytearray(file.read_bytes())
    data = data[:-1] if damage == "truncated" else bytes([data[0] ^ 1]) + data[1:]
    file.write_bytes(data)
    again = FeatureStore(store.folder, WIDTH)
    assert got(again, photo) is None
    put(again, photo, seed=1)
    assert np.array_equal(got(again, photo), values(3, 1))


def _write(folder: Path, photos: list[Path], first: int) -> None:
    store = FeatureStore(folder, WIDTH)
    for number, photo in enumerate(photos, start=first):
        put(store, photo, tokens=1 + number % 3, seed=number)


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.jpg" for number in range(40)]
    for photo in photos:
        photo.write_bytes(photo.name.encode())
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "features"
    halves = [(folder, photos[:20], 0), (folder, photos[20:], 20)]
    writers = [context.Process(target=_write, args=half) for half in halves]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    store = FeatureStore(folder, WIDTH)
    assert len(store) == len(photos)
    for number, photo in enumerate(photos):
        tokens = 1 + number % 3
        assert np.array_equal(got(store, photo, tokens), values(tokens, number))
