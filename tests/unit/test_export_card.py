"""The model card: true figures, nothing of the data set, and code that works."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from exported import exported, trained, without_a_process
from hypothesis import given
from hypothesis import strategies as st
from learners import Signs
from PIL import Image

from core import toml_file
from core.config import ModelConfig
from core.errors import KocrError
from core.export.base_files import licence, published
from core.export.model_card import literal
from core.export.plain_reader import PlainRequest, PlainRow, answer
from core.export.processor import write_processor
from core.export.snippet import DEFAULT_PROMPT, snippet
from core.exporting import Export
from core.model.load import DTYPES
from core.run_dir import RunDir

HOSTILE = "m`|<img src=x>\n---\nlicense: mine\n# x ```\u202e"
# Runs each folder's snippet where nothing of ours can be had.
# On some processors bitsandbytes 0.50 packs weights so that widths must be of whole blocks.
ISOLATED = """
import json, os, sys
import bitsandbytes.nn.modules as packing
packing.has_avx512bf16 = lambda: False
sys.modules.update(dict.fromkeys(("core", "kocr_tui")))
for folder, code in json.load(sys.stdin):
    os.chdir(folder)
    exec(code, {})
"""


@pytest.fixture(scope="module")
def signs(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Signs:
    return Signs(tmp_path_factory.mktemp("signs"), tiny_model_folder)


@pytest.fixture(scope="module")
def run(signs: Signs) -> RunDir:
    return trained(signs, dtype="bf16")


@pytest.fixture(autouse=True)
def home(signs: Signs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOCR_HOME", str(signs.home))
    without_a_process(monkeypatch)


def card_of(out: Path) -> str:
    return (out / "README.md").read_text(encoding="utf-8")


def code_of(out: Path) -> str:
    found = re.search(r"^```python\n(.*?)^```$", card_of(out), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_card_has_the_runs_own_figures(run: RunDir, tmp_path: Path) -> None:
    exported(run, tmp_path / "out", verify=False)
    card = card_of(tmp_path / "out")
    assert "| the base, before training | 4 | 25.0 % [5–70] |" in card
    assert "| this model, on the same photos | 4 | 75.0 % [30–95] |" in card
    assert "24 rows to train on and 8 for validation; 0 rows" in card
    assert "| steps | 1 of 4 |" in card
    assert "| train.learning_rate | 0.001 |" in card
    assert "| peak of memory | 1.25 GiB |" in card
    assert "--no-verify" in card


def test_scores_of_another_step_are_not_told_as_this_ones(run: RunDir, tmp_path: Path) -> None:
    exported(run, tmp_path / "out", verify=False, checkpoint="last")
    card = card_of(tmp_path / "out")
    assert "| this model" not in card
    assert "The photos of the report were not read at step 2." in card


def test_no_photo_and_no_label_is_in_the_folder(run: RunDir, signs: Signs, tmp_path: Path) -> None:
    exported(run, tmp_path / "out")
    labels = {
        json.loads(line)["messages"][1]["content"][0]["text"]
        for name in ("train", "validation")
        for line in (signs.home / "signs" / f"{name}.jsonl").read_text("utf-8").splitlines()
    }
    assert len(labels) > 20
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not content.startswith((b"\x89PNG", b"\xff\xd8")), path
        if path.suffix in (".md", ".json"):
            text = content.decode()
            assert not [label for label in labels if label in text], path
            assert str(signs.home / "signs") not in text


def test_hostile_names_do_nothing_in_the_card(
    signs: Signs, tiny_model_folder: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_model_folder, tmp_path / HOSTILE))
    (model / "README.md").write_text('---\nlicense: "x: y\\n# z <b>"\n---\n', encoding="utf-8")
    run = trained(Signs(tmp_path / "home", model))
    config = run.config()
    named = msgspec.structs.replace(config, name="__정말__")
    run.config_file.write_text(toml_file.encode(named), encoding="utf-8")
    exported(run, tmp_path / "out", verify=False)
    card = card_of(tmp_path / "out")
    lines = card.splitlines()
    assert lines.count("---") == 2
    assert [line for line in lines if line.startswith("license")] == [
        'license: "x: y\\u240a# z <b>"'
    ]
    assert len([line for line in lines if line.startswith("# ")]) == 1
    prose = card.replace(f"```python\n{code_of(tmp_path / 'out')}```", "").split("---\n", 2)[2]
    assert re.findall(r"(?<!\\)[<`]", prose) == ["`", "`"]  # Those of `--no-verify`.
    assert "\u202e" not in card
    assert str(model) in code_of(tmp_path / "out").encode().decode("unicode_escape")


@given(st.text())
def test_literal_text_has_no_markup_and_no_second_line(text: str) -> None:
    shown = literal(text)
    assert len(shown.splitlines()) <= 1
    assert re.search(r"(?<!\\)(\\\\)*[`*_\[\]<>#|~!$&@{}]", shown) is None


@given(st.text(), st.text(), st.sampled_from(["adapter", "merged"]), st.sampled_from(list(DTYPES)))
def test_a_snippet_is_python_whatever_base_and_prompt_are(
    base: str, prompt: str, kind: Any, weights: str
) -> None:
    code = snippet(made(base, kind, weights), prompt)
    body = code.removeprefix("```python\n").removesuffix("```")
    assert "\n```" not in body
    compile(body, "snippet", "exec")


def made(base: str, kind: Any, weights: str) -> Export:
    return Export(
        kind=kind, run="r", step=1, best=True, base=base, revision=None, weights=weights,
        dtype="bfloat16", rank=16, targets="language", min_pixels=3136, max_pixels=200_704,
        max_new_tokens=64, adapter_sha256="", verified=None, versions={},
    )  # fmt: skip


def test_the_cards_code_reads_a_sign_where_nothing_of_ours_is(
    run: RunDir, signs: Signs, tmp_path: Path
) -> None:
    nf4 = trained(signs, dtype="nf4")
    photo = next((signs.home / "signs").rglob("*.jpg"))
    wanted: list[str] = []
    jobs: list[tuple[str, str]] = []
    for source, merge in ((run, True), (run, False), (nf4, False)):
        out = tmp_path / f"{len(jobs)}"
        told = exported(source, out, merge=merge).export
        shutil.copy(photo, out / "sign.jpg")
        wanted.append(read_plainly(told, out))
        jobs.append((str(out), code_of(out)))
    done = subprocess.run(
        [sys.executable, "-I", "-c", ISOLATED],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(f"{reply}\n" for reply in wanted)


def read_plainly(told: Export, out: Path) -> str:
    merged = told.kind == "merged"
    Image.open(out / "sign.jpg").save(out / "sign.png")
    bounds = {"min_pixels": told.min_pixels, "max_pixels": told.max_pixels}
    greedy = {"do_sample": False, "max_new_tokens": told.max_new_tokens}
    request = PlainRequest(
        model=str(out) if merged else told.base,
        adapter=None if merged else str(out),
        dtype=told.dtype,
        nf4=told.weights == "nf4" and not merged,
        device="cpu",
        threads=1,
        bounds={} if merged else bounds,
        generation={} if merged else greedy,
        rows=(PlainRow(str(out / "sign.png"), DEFAULT_PROMPT),),
    )
    return answer(request, lambda _done, _total: None).replies[0]


def test_a_folder_of_the_hubs_cache_is_called_as_it_is_published(tmp_path: Path) -> None:
    cached = tmp_path / "models--Qwen--Qwen2-VL-2B-Instruct" / "snapshots" / "895c3a"
    cached.mkdir(parents=True)
    assert published(ModelConfig(path=str(cached))) == ("Qwen/Qwen2-VL-2B-Instruct", "895c3a")
    assert published(ModelConfig(path=str(tmp_path))) == (str(tmp_path), None)
    hub = ModelConfig(path="Qwen/Qwen2-VL-2B-Instruct", revision="895c3a")
    assert published(hub) == (hub.path, hub.revision)


@pytest.mark.parametrize(
    ("card", "named"),
    [
        ("---\nlicense: apache-2.0\n---\n# Model\n", "apache-2.0"),
        ("---\nlicense: [a, b]\n---\n", None),
        ("---\n: : :\n\t-\n---\n", None),
        ("# Model\n", None),
        (None, None),
    ],
)
def test_the_licence_is_the_one_the_base_names(
    card: str | None, named: str | None, tmp_path: Path
) -> None:
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    assert licence(ModelConfig(path=str(tmp_path))) == named


# As published: Qwen2-VL's file has the bounds under their older names alone.
QWEN2_VL = {"min_pixels": 3136, "max_pixels": 12_845_056, "patch_size": 14, "merge_size": 2}
NESTED = {"image_processor": {"size": {"shortest_edge": 1, "longest_edge": 2}}, "x": 1}


def test_the_budget_is_written_wherever_a_version_looks_for_it(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    video = {"size": {"shortest_edge": 100_352, "longest_edge": 602_112}}
    (base / "preprocessor_config.json").write_text(json.dumps(QWEN2_VL))
    (base / "video_preprocessor_config.json").write_text(json.dumps(video))
    (base / "processor_config.json").write_text(json.dumps(NESTED))
    write_processor(ModelConfig(path=str(base)), "qwen2_vl", out, 3136, 200_704)
    photos, videos, nested = (
        json.loads((out / name).read_text())
        for name in (
            "preprocessor_config.json",
            "video_preprocessor_config.json",
            "processor_config.json",
        )
    )
    assert photos == QWEN2_VL | {
        "max_pixels": 200_704,
        "size": {"shortest_edge": 3136, "longest_edge": 200_704},
    }
    assert videos["size"] == {"shortest_edge": 100_352, "longest_edge": 200_704}
    assert nested["image_processor"]["size"] == photos["size"]
    assert nested["x"] == 1
    write_processor(ModelConfig(path=str(base)), "qwen3_vl", out, 65_536, 200_704)
    assert json.loads((out / "video_preprocessor_config.json").read_text()) == video


def test_the_budget_goes_into_a_file_of_its_own_where_the_base_has_none(tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    out.mkdir()
    with pytest.raises(KocrError, match="no preprocessor_config"):
        write_processor(ModelConfig(path=str(base)), "qwen2_vl", out, 3136, 200_704)
    (base / "processor_config.json").write_text("[")
    with pytest.raises(KocrError, match="not JSON"):
        write_processor(ModelConfig(path=str(base)), "qwen2_vl", out, 3136, 200_704)
    (base / "processor_config.json").write_text(json.dumps(NESTED))
    write_processor(ModelConfig(path=str(base)), "qwen2_vl", out, 3136, 200_704)
    photos = json.loads((out / "preprocessor_config.json").read_text())
    assert photos["size"] == {"shortest_edge": 3136, "longest_edge": 200_704}
