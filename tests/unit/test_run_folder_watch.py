"""A run's folder that is gone is told from one that is there."""

from pathlib import Path

from core.train.run_folder_watch import RunFolderWatch


def test_gone_moved_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    watch = RunFolderWatch(folder)
    left: list[str] = []
    watch.guard((folder / "heartbeat").touch, left.append)
    assert (folder / "heartbeat").exists()
    assert left == []
    folder.rename(tmp_path / "elsewhere")
    watch.guard((folder / "heartbeat").touch, left.append)
    assert left == [watch.sentence]
    assert not folder.exists()
    folder.mkdir()
    assert watch.is_gone(), "another folder at the same place"
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    assert not watch.is_gone()
