"""With a data root no photo outside of it is read, however a row, a link or a swap leads there."""

import json
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from learners import Signs, events_of
from malformed import picture, row

from core.config import read_config
from core.data import images
from core.data.audit.audit import audit
from core.data.audit.report import Audit
from core.data.boundary import is_below
from core.data.dataset import SignRows
from core.data.feature_store import FeatureStore
from core.data.finder import PhotoFinder
from core.data.photos import PhotoBook
from core.data.survey import open_rows
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.events import DataOpened, RowSetAside
from core.planning import PlanRequest
from core.train.loading.loader import load_steps
from core.train.loading.micro_batch import Replaced
from core.train.loading.step_plan import StepPlan
from core.tune.planner import plan
from kocr_tui import cli
from kocr_tui.commands.plan import request_of_options
from kocr_tui.options.arguments import make_parser
from kocr_tui.options.run_config import config_of_options

Escape = Callable[[Path, Path], str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a sound photo; a secret photo lies beside it."""
    made = tmp_path / "root"
    made.mkdir()
    picture((80, 50)).save(made / "good.png")
    (tmp_path / "outside").mkdir()
    picture().save(tmp_path / "outside" / "secret.png")
    return made


@pytest.fixture
def secret(root: Path) -> Path:
    return root.parent / "outside" / "secret.png"


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "train.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def by_dots(root: Path, secret: Path) -> str:
    return f"../{secret.parent.name}/{secret.name}"


def by_inner_dots(root: Path, secret: Path) -> str:
    return f"{root}/nowhere/../../{secret.parent.name}/{secret.name}"


def by_absolute_path(root: Path, secret: Path) -> str:
    return str(secret)


def by_address(root: Path, secret: Path) -> str:
    return f"file://{secret}"


def by_linked_file(root: Path, secret: Path) -> str:
    (root / "link.png").symlink_to(secret)
    return "link.png"


def by_linked_folder(root: Path, secret: Path) -> str:
    (root / "folder").symlink_to(secret.parent)
    return str(root / "folder" / secret.name)


def by_linked_links(root: Path, secret: Path) -> str:
    (root / "first").symlink_to("second")
    (root / "second").symlink_to(secret.parent)
    return f"first/{secret.name}"


def by_nfd_folder(root: Path, secret: Path) -> str:
    (root / unicodedata.normalize("NFD", "간판")).symlink_to(secret.parent)
    return f"{root}/간판/{secret.name}"


def by_a_name_of_nothing(root: Path, secret: Path) -> str:
    return str(secret.with_name("none.png"))


def by_a_folder_with_a_like_name(root: Path, secret: Path) -> str:
    beside = root.with_name(f"{root.name}-2")
    secret.parent.rename(beside)
    return str(beside / secret.name)


ESCAPES = [
    by_dots, by_inner_dots, by_absolute_path, by_address, by_linked_file, by_linked_folder,
    by_linked_links, by_nfd_folder, by_a_name_of_nothing, by_a_folder_with_a_like_name,
]  # fmt: skip


@pytest.fixture
def opened(root: Path) -> list[str]:
    """Real paths of photos opened, and of folders out of the root listed, from now on."""
    seen: list[str] = []

    # Nothing takes a hook off again, so that it only notes what lies in this test's own folder.
    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.listdir") or not isinstance(arguments[0], str):
            return
        real = os.path.realpath(arguments[0])
        looked_at = real.endswith(".png") if event == "open" else not is_below(real, str(root))
        if looked_at and real.startswith(f"{root.parent}/"):
            seen.append(real)

    sys.addaudithook(note)
    return seen


def check(path: Path, root: Path | None) -> Audit:
    book = PhotoBook(None, workers=1)
    told = str(root) if root else None
    return audit(path, None, book, model=None, family="qwen2_vl", tell=None, root=told)


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_row_that_leads_out_is_set_aside_unopened(
    escape: Escape, root: Path, secret: Path, opened: list[str]
) -> None:
    name = escape(root, secret)
    path = write(root, row(name), row("good.png"))
    rows = open_rows(path, "set-aside", root=str(root))
    [bad] = rows.set_aside
    assert (bad.line, bad.reason) == (1, "outside-root")
    assert bad.sentence == f"{name.removeprefix('file://')}: leads out of the data root {root}"
    assert len(rows) == 1
    found = check(path, root)
    assert found.set_aside == {"outside-root": 1}
    assert [bad.line for bad in found.rows_set_aside] == [1]
    assert found.kept == 1
    assert set(opened) == {str(root / "good.png")}


@pytest.mark.parametrize("escape", [by_absolute_path, by_linked_folder, by_address])
def test_without_a_root_absolute_names_are_the_users_own_choice(
    escape: Escape, root: Path, secret: Path
) -> None:
    path = write(root, row(escape(root, secret)))
    assert len(open_rows(path, "refuse")) == 1
    assert check(path, None).set_aside == {}


def test_a_root_only_narrows_what_the_folder_of_the_rows_allows(root: Path) -> None:
    (root / "rows").mkdir()
    path = write(root / "rows", row("../good.png"), row(str(root / "good.png")))
    for given in (None, str(root)):
        [bad] = open_rows(path, "set-aside", root=given).set_aside
        assert (bad.line, bad.reason) == (1, "path-refused")


def test_a_root_may_be_a_link_and_links_may_stay_inside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    (root / "photos").mkdir()
    picture().save(root / "photos" / "a.png")
    (root / "inner").symlink_to("photos")
    (root / "b.png").symlink_to(tmp_path / "alias" / "photos" / "a.png")
    names = ("good.png", "inner/a.png", "b.png", str(tmp_path / "alias" / "good.png"))
    for folder in (root, tmp_path / "alias"):
        path = write(folder, *(row(name) for name in names))
        for given in (root, tmp_path / "alias"):
            assert len(open_rows(path, "refuse", root=str(given))) == len(names)
            assert check(path, given).kept == len(names)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_names_in_either_unicode_form_are_found_inside(root: Path, on_disk: Any) -> None:
    folder = root / unicodedata.normalize(on_disk, "사진첩")
    folder.mkdir()
    picture().save(folder / unicodedata.normalize(on_disk, "간판.png"))
    for form in ("NFC", "NFD"):
        name = unicodedata.normalize(form, "사진첩/간판.png")  # type: ignore[arg-type]
        path = write(root, row(name), row(f"{root}/{name}"))
        rows = open_rows(path, "refuse", root=str(root))
        assert [rows.photos[index] for index in range(2)] == [str(next(folder.iterdir()))] * 2


def test_a_refused_run_names_the_row(root: Path, secret: Path) -> None:
    path = write(root, row("good.png"), row(str(secret)))
    with pytest.raises(
        UsageError, match=rf"row 2: .*secret\.png: leads out of the data root {root}"
    ):
        open_rows(path, "refuse", root=str(root))


def test_what_was_found_usable_without_a_root_is_not_with_one(
    root: Path, secret: Path, tmp_path: Path
) -> None:
    path, cache = write(root, row(str(secret)), row("good.png")), tmp_path / "cache"
    for given, usable in ((None, 2), (root, 1), (tmp_path, 2), (root, 1), (None, 2)):
        found = open_rows(path, "set-aside", cache, root=str(given) if given else None)
        assert len(found) == usable
    # One for no root and one for the wide root; what has a row outside is looked at each time.
    assert len(list((cache / "rows").iterdir())) == 2


def test_a_kept_survey_is_not_believed_once_a_link_leads_out(
    root: Path, secret: Path, tmp_path: Path
) -> None:
    (root / "photos").mkdir()
    picture().save(root / "photos" / "secret.png")
    times = (root / "photos" / "secret.png").stat()
    path, cache = write(root, row("photos/secret.png"), row("good.png")), tmp_path / "cache"
    assert len(open_rows(path, "refuse", cache, root=str(root))) == 2
    (root / "photos").rename(root / "before")
    secret.write_bytes((root / "before" / "secret.png").read_bytes())
    os.utime(secret, ns=(times.st_atime_ns, times.st_mtime_ns))
    (root / "photos").symlink_to(secret.parent)
    [bad] = open_rows(path, "set-aside", cache, root=str(root)).set_aside
    assert (bad.line, bad.reason) == (1, "outside-root")
    (root / "photos").unlink()
    (root / "before").rename(root / "photos")
    assert len(open_rows(path, "refuse", cache, root=str(root))) == 2


def swap_file(root: Path, secret: Path) -> None:
    (root / "photos" / "a.png").unlink()
    (root / "photos" / "a.png").symlink_to(secret)


def swap_folder(root: Path, secret: Path) -> None:
    secret.rename(secret.with_name("a.png"))
    (root / "photos").rename(root / "before")
    (root / "photos").symlink_to(secret.parent)


@pytest.fixture
def signs(tmp_path: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Signs:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    return Signs(tmp_path / "home", tiny_model_folder)


def told_in_training(rows: SignRows, job: Any) -> list[Replaced]:
    steps = load_steps(
        rows,
        job.processing.encoder(16 * 784, FeatureStore(job.run.path / "features", 4)),
        job.processing.pad_token_id,
        job.tower,
        StepPlan.of(rows, job.processing, 16 * 784, seed=0, batch=2, budget=1),
        start=0,
        stop=1,
        workers=0,
        pin_memory=False,
    )
    return [each for step in steps for micro in step for each in micro.replaced]


@pytest.mark.parametrize("swap", [swap_file, swap_folder])
def test_a_photo_swapped_for_a_link_is_replaced_in_training_unopened(
    swap: Callable[[Path, Path], None], root: Path, secret: Path, signs: Signs, opened: list[str]
) -> None:
    (root / "photos").mkdir()
    picture().save(root / "photos" / "a.png")
    path = write(root, row("photos/a.png"), row("good.png"))
    rows = open_rows(path, "refuse", root=str(root))
    swap(root, secret)
    job = signs.job()
    opened.clear()
    [found] = told_in_training(rows, job)
    assert (found.line, found.taken) == (1, 2)
    assert found.sentence == f"{rows.photos[0]}: leads out of the data root {root}"
    assert set(opened) == {str(root / "good.png")}


def test_a_folder_swapped_in_the_moment_of_opening_is_refused(
    root: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "photos").mkdir()
    picture().save(root / "photos" / "a.png")
    real_open = os.open

    def swapped_first(path: Any, *arguments: Any, **options: Any) -> int:
        swap_folder(root, secret)
        monkeypatch.setattr(images.os, "open", real_open)
        return real_open(path, *arguments, **options)

    monkeypatch.setattr(images.os, "open", swapped_first)
    with pytest.raises(UnusableError) as caught:
        images.read_photo(root / "photos" / "a.png", root=str(root))
    assert caught.value.reason == "outside-root"


def test_a_swap_between_finding_and_reading_is_not_remembered(
    root: Path,
    secret: Path,
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, cache = write(root, row("a.png")), tmp_path / "cache"
    (root / "a.png").symlink_to(secret)
    monkeypatch.setattr(PhotoFinder, "find", lambda finder, name: str(root / name))
    with pytest.raises(UsageError, match="leads out of the data root"):
        open_rows(path, "set-aside", cache, root=str(root))
    assert opened == []
    assert len(open_rows(path, "refuse", cache)) == 1


@pytest.fixture
def escaping(signs: Signs, secret: Path) -> Signs:
    """Signs whose third training row names the secret."""
    path = signs.home / "signs" / "train.jsonl"
    lines = path.read_bytes().splitlines()
    lines[2] = row(str(secret))
    path.write_bytes(b"\n".join(lines) + b"\n")
    return signs


def test_a_run_with_a_root_tells_what_it_sets_aside_and_trains_on_the_rest(
    escaping: Signs, secret: Path
) -> None:
    root = str(escaping.home / "signs")
    job = escaping.job(data={"root": root, "bad_rows": "set-aside"})
    events = events_of(job.run)
    [told] = [event for event in events if isinstance(event, RowSetAside)]
    assert (told.row, told.reason) == (3, f"{secret}: leads out of the data root {root}")
    [data] = [event for event in events if isinstance(event, DataOpened)]
    assert (data.train_rows, data.set_aside) == (23, 1)
    with escaping.learner(job) as (learner, _device):
        samples = 0
        for number, micro_batches in enumerate(learner.steps_from(0)):
            samples += sum(micro.samples for micro in micro_batches)
            assert learner.learn(number, micro_batches).loss.isfinite()
    assert (learner.steps, samples) == (4, 23)
    assert len(escaping.job(data={"bad_rows": "set-aside"}).train_rows) == 24


def test_a_plan_with_a_root_counts_the_rows_inside(
    escaping: Signs, tiny_model_folder: Path
) -> None:
    train = str(escaping.home / "signs" / "train.jsonl")

    def rows(root: str | None) -> int | None:
        request = PlanRequest(
            model=str(tiny_model_folder), profile="cpu", weights=("fp32",), ranks=(4,),
            checkpointing=("none",), max_pixels=16 * 784, train=train, root=root,
        )  # fmt: skip
        return plan(request, lambda _done, _total, _words: None).rows

    assert rows(str(Path(train).parent)) == 23
    assert rows(None) == 24


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Parses a command line in the folder above the root."""
    monkeypatch.chdir(root.parent)
    monkeypatch.setenv("KOCR_HOME", str(root.parent / "home"))
    write(root, row("good.png"))
    return lambda *words: make_parser().parse_args(words)


def test_every_command_that_takes_training_data_takes_a_root(
    root: Path, asked: Callable[..., Any]
) -> None:
    sides = ("--train", "root/train.jsonl", "--validation", "root/train.jsonl")
    given = (*sides, "--profile", "cpu", "--root", "root")
    for command in ("train", "tune"):
        assert config_of_options(asked(command, *given)).data.root == str(root)
    request = request_of_options(asked("plan", "--data", "root", "--root", "root"))
    assert request.root == str(root)
    assert asked("check", "root", "--root", "root").root == "root"
    assert config_of_options(asked("train", *sides, "--profile", "cpu")).data.root is None


@pytest.mark.parametrize("folder", ["none", "root/good.png"])
def test_a_root_that_is_no_folder_is_wrong_use(
    root: Path, asked: Callable[..., Any], folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "root/train.jsonl"
    for words in (
        ("train", "--train", rows, "--validation", rows, "--profile", "cpu"),
        ("plan", "--data", rows),
        ("check", rows),
    ):
        assert cli.main([*words, "--root", folder]) == 2
        assert f"{folder}: no such folder" in capsys.readouterr().err
    assert not (root.parent / "home" / "runs").exists()


def test_a_root_in_a_file_is_taken_from_its_folder(root: Path) -> None:
    text = 'name = "a"\n[model]\npath = "m"\n[data]\ntrain = "t"\nvalidation = "v"\n'
    (root / "run.toml").write_text(f'{text}root = "../outside"\n')
    assert read_config(root / "run.toml").data.root == str(root.parent / "outside")
    (root / "run.toml").write_text(text)
    assert read_config(root / "run.toml").data.root is None


@pytest.mark.parametrize("language", ["en", "ko"])
def test_check_counts_the_reason_with_its_first_example(
    root: Path,
    secret: Path,
    asked: Callable[..., Any],
    language: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = [row(f"gone{number}.png") for number in range(5)]
    write(root, *gone, row(str(secret)), row("good.png"), row("../outside/secret.png"))
    words = ["check", "root", "--root", "root", "--lang", language]
    assert cli.main(words) == 1
    shown = capsys.readouterr().out
    assert f"        2  outside-root  train.jsonl line 6: {secret}: leads out of" in shown
    assert cli.main([*words, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["set_aside"] == {"no-such-file": 5, "outside-root": 2}
    assert [bad["line"] for bad in report["rows_set_aside"]][:2] == [6, 8]


@pytest.mark.parametrize("name", ["a/" * 4000 + "x", "/" + "a/" * 4000, "a/" * 400_000 + "b"])
@pytest.mark.parametrize("rooted", [True, False])
def test_a_path_of_very_many_folders_is_one_row_set_aside(
    root: Path, name: str, rooted: bool
) -> None:
    path = write(root, row(name), row("good.png"))
    [bad] = open_rows(path, "set-aside", root=str(root) if rooted else None).set_aside
    assert bad.line == 1
    assert len(bad.sentence) < 20_000
