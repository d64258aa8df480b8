"""Files of others are read and never run: models, settings, profiles, photos, run folders."""

import ast
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

import core
import kocr_tui
from core.config import ModelConfig, RunConfig, read_config
from core.data.images import upright_size
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.launch import launch
from core.model.families import QWEN2_VL
from core.model.load import load_model, open_config
from core.model.processing import load_processing
from core.profile import list_profiles, load_profile
from core.run_dir import RunDir
from core.visible_text import MOST_CHARACTERS, is_without_form, visible
from kocr_tui import cli
from kocr_tui.plain.report import as_json

CALLS = {
    "eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "torch.load",
    "yaml.load", "yaml.unsafe_load", "shelve.open", "marshal.load", "marshal.loads",
}  # fmt: skip
MODULES = {"pickle", "shelve", "marshal", "dill", "cloudpickle", "joblib"}
FORGED = "a\x1b]8;;http://x\x07\x9b2J\u202e\u200f\u061c\u2066\u200b\0\ud800\u2028\u2029b\r\n"


def sources() -> list[Path]:
    folders = [Path(str(package.__file__)).parent for package in (core, kocr_tui)]
    return [path for folder in folders for path in folder.rglob("*.py")]


def unsafe_parts(text: str) -> list[str]:
    """What in a source could run foreign code."""
    found = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call():
                found += _unsafe_call(node)
            case ast.Import():
                found += [alias.name for alias in node.names if alias.name in MODULES]
            case ast.ImportFrom(module=str(module)) if module in MODULES:
                found.append(module)
    return found


def _unsafe_call(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    given = {each.arg: ast.unparse(each.value) for each in node.keywords if each.arg}
    wrong = [name] if name in CALLS else []
    # peft knows its own classes alone, and has no such option.
    remote = name.endswith(".from_pretrained") and not name.startswith("Peft")
    if remote and given.get("trust_remote_code") != "False":
        wrong.append(f"{name} without trust_remote_code=False")
    if given.get("trust_remote_code", "False") != "False":
        wrong.append("trust_remote_code")
    wrong += [key for key in ("shell", "allow_pickle") if given.get(key, "False") != "False"]
    return wrong


@pytest.mark.parametrize(
    "text",
    [
        "eval(x)", "import pickle", "torch.load(f)", "run(x, shell=True)", "os.system(x)",
        "AutoModel.from_pretrained(p)", "A.from_pretrained(p, trust_remote_code=True)",
        "np.load(f, allow_pickle=True)", "from marshal import loads",
    ],
)  # fmt: skip
def test_the_search_finds_what_runs_foreign_code(text: str) -> None:
    assert unsafe_parts(text)


def test_no_source_runs_foreign_code() -> None:
    assert len(sources()) > 100
    found = {str(path): unsafe_parts(path.read_text(encoding="utf-8")) for path in sources()}
    assert {path: parts for path, parts in found.items() if parts} == {}


class _Marker:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def point_to_code(folder: Path, marker: Path) -> None:
    """Has every file of the model name classes of a module that makes ``marker``."""
    code = f"import os\nos.mkdir({str(marker)!r})\nclass Mine: pass\n"
    (folder / "modeling_x.py").write_text(code)
    one = "modeling_x.Mine"
    kinds = ("AutoConfig", "AutoModelForImageTextToText", "AutoImageProcessor")
    mapped = dict.fromkeys(kinds, one) | {"AutoTokenizer": [one, one]}
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        file = folder / name
        if file.exists():
            file.write_text(json.dumps(json.loads(file.read_text()) | {"auto_map": mapped}))


def test_code_that_a_known_model_brings_is_left_alone(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    point_to_code(folder, marker)
    model = ModelConfig(path=str(folder))
    _config, family = open_config(model)
    load_processing(model, family)
    load_model(model, family, "fp32", "fp32")
    assert not marker.exists()


def test_a_model_that_is_only_code_is_refused(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    point_to_code(folder, marker)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mine"}))
    assert str(folder) in refusal(open_config, ModelConfig(path=str(folder)))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_pickled_weights_are_refused_and_never_opened(
    folder: Path, tmp_path: Path, name: str
) -> None:
    marker = tmp_path / "marker"
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps(_Marker(marker)))
    told = refusal(load_model, ModelConfig(path=str(folder)), QWEN2_VL, "fp32", "fp32")
    assert str(folder if name == "model.safetensors" else folder / name) in told
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"x = 1\0", b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000,
        b"name = '" + b"x" * 1_000_000 + b"'", b"#" + b"y" * 1_000_000 + b"\nq = 1",
        b'name = "../../x"\n', b'extends = "/etc/passwd"\n',
    ],
    ids=["NUL", "UTF-16", "deep", "digits", "long", "comment", "above", "extends"],
)  # fmt: skip
def test_hostile_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "hostile.toml"
    file.write_bytes(content)
    before = sorted(tmp_path.parent.rglob("*"))
    for call in (read_config, lambda path: load_profile(str(path))):
        told = refusal(call, file)
        assert told.startswith(str(file))
        assert len(told) < 2000
    assert sorted(tmp_path.parent.rglob("*")) == before


PROFILE = (Path(str(kocr_tui.__file__)).parents[1] / "profiles" / "cpu.toml").read_text()


def everything(folder: Path) -> dict[str, bytes | None]:
    """What lies in a folder by path, with the content of files."""
    return {str(at): at.read_bytes() if at.is_file() else None for at in folder.rglob("*")}


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "x/../../y", ".x", "x\\u001b[2J", "x\\n"])
def test_a_profile_can_not_name_another_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    profiles = tmp_path / "config" / "profiles"
    profiles.mkdir(parents=True)
    monkeypatch.setenv("KOCR_CONFIG", str(profiles.parent))
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    (profiles / "x.toml").write_text(PROFILE.replace('name = "cpu"', f'name = "{name}"'))
    before = everything(tmp_path)
    for given in ("x", str(profiles / "x.toml"), "../../x", "../../x.toml", f"{profiles}/../../x"):
        refusal(load_profile, given)
    assert "x.toml: name" in refusal(list_profiles)
    assert cli.main(["plan", "--profile", "x"]) == cli.main(["plan", "--profile", "../../x"]) == 2
    assert everything(tmp_path) == before


@pytest.mark.parametrize("target", ["secret", "secret.toml", "/dev/zero", "x.toml", "none", "pipe"])
def test_a_profile_that_is_a_link_shows_nothing_of_what_it_leads_to(
    tmp_path: Path, target: str
) -> None:
    (tmp_path / "secret").write_text("root:x:0:0:hunter2:/root:/bin/sh\n")
    (tmp_path / "secret.toml").write_text(f'{PROFILE}\npassword = "hunter2"\n')
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.toml").symlink_to(tmp_path / target)
    told = refusal(load_profile, str(tmp_path / "x.toml"))
    assert told.startswith(str(tmp_path / "x.toml"))
    assert "hunter2" not in told


def test_a_profile_that_links_to_a_sound_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text(PROFILE)
    (tmp_path / "cpu.toml").symlink_to("kept")
    assert load_profile(str(tmp_path / "cpu.toml")).name == "cpu"


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x", "a\x1b[2J", "a\n", "", "x" * 65])
def test_a_name_of_a_run_can_not_be_a_path_or_hold_controls(tmp_path: Path, name: str) -> None:
    file = tmp_path / "run.toml"
    data = '[model]\npath = "m"\n[data]\ntrain = "t"\nvalidation = "v"\n'
    file.write_text(f"name = {json.dumps(name)}\n{data}")
    assert "name" in refusal(read_config, file)
    file.write_text(f'name = "fine"\n{data}')
    assert isinstance(read_config(file), RunConfig)


@pytest.mark.parametrize("kind", ["device", "loop", "pipe", "folder"])
def test_only_regular_files_are_opened_as_photos(tmp_path: Path, kind: str) -> None:
    photo = tmp_path / "photo.jpg"
    match kind:
        case "device":
            photo.symlink_to("/dev/zero")
        case "loop":
            photo.symlink_to(photo)
        case "pipe":
            os.mkfifo(photo)
        case _:
            photo.mkdir()
    with pytest.raises(UnusableError):
        upright_size(photo)


def test_foreign_text_is_visible_and_bounded() -> None:
    assert not any(map(is_without_form, visible(FORGED)))
    assert visible("간판 😀 é") == "간판 😀 é"
    # So many marks in alternating order would take a normaliser minutes.
    shown = visible("e" + "\u0316\u0301" * 500_000)
    assert len(shown) <= MOST_CHARACTERS + 1


def test_errors_and_json_have_nothing_raw(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "no\x1b]52;c;eA==\x07\u202erun"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not any(map(is_without_form, line))
    written = as_json({"message": FORGED + "간판\x7f"})
    assert not any(map(is_without_form, written))
    assert json.loads(written) == {"message": FORGED + "간판\x7f"}


def test_a_run_of_another_user_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert "belongs to another user" in refusal(launch, RunDir(tmp_path))
    assert list(tmp_path.iterdir()) == []
