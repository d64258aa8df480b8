"""Model folders and checkpoints that name other models, or bring programs, are not obeyed."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from learners import Signs, kept
from safetensors.torch import save_file

from core.config import ModelConfig
from core.errors import UsageError
from core.evaluate.rolling import RollingState
from core.model.families import QWEN2_VL
from core.model.load import open_config
from core.model.processing import load_processing
from core.train.checkpoints import checkpoint
from core.train.checkpoints.checkpoint import TrainerState
from core.train.validation import ValidationState

CALLS = "{{ cycler.__init__.__globals__.os.mkdir('MARKER') }}"
TEMPLATES = [
    CALLS, "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{% include '/etc/passwd' %}",
    "{{ 'x' }", "{{ 1 / 0 }}", "{% for n in range(10 ** 9) %}x{% endfor %}", "no photo",
    "<|image_pad|><|image_pad|>", "{{ raise_exception('a\\u001b[2Jb\\nc') }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
]  # fmt: skip


class _Marker:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def name_another_base(adapter: Path, base: Path, marker: Path) -> None:
    """JSON of an adapter and its tokenizer that names a foreign base, code and a template."""
    file = adapter / "adapter_config.json"
    known = json.loads(file.read_text()) if file.exists() else {"peft_type": "LORA", "r": 4}
    foreign = {
        "base_model_name_or_path": str(base),
        "auto_mapping": {"base_model_class": "Mine", "parent_library": "modeling_x"},
    }
    file.write_text(json.dumps(known | foreign))
    template = CALLS.replace("MARKER", str(marker))
    mapped = {"auto_map": {"AutoTokenizer": ["modeling_x.Mine"] * 2}, "chat_template": template}
    (adapter / "tokenizer_config.json").write_text(json.dumps(mapped))


def add_programs(adapter: Path, marker: Path) -> None:
    """Programs of all kinds, which a checkpoint that has any isn't read for."""
    (adapter / "modeling_x.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    (adapter / "chat_template.jinja").write_text(CALLS.replace("MARKER", str(marker)))
    for name in ("adapter_model.bin", "optimizer.pt", "training_args.bin"):
        (adapter / name).write_bytes(pickle.dumps(_Marker(marker)))


@pytest.fixture
def foreign(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "foreign"))


def test_a_checkpoint_gives_weights_and_nothing_else(
    tiny_model_folder: Path, tmp_path: Path, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOCR_HOME", str(tmp_path))
    signs, marker, opened = Signs(tmp_path, tiny_model_folder), tmp_path / "marker", []
    nothing = RollingState(position=0, scores=())
    spent = ValidationState(rolling=nothing, trained_s=1.0, slices_s=0.0, selections_s=0.0)
    state = msgspec.json.encode(TrainerState(step=1, validation=spent, best=None))
    job = signs.job()
    with signs.learner(job) as (learner, _device):

        def write(folder: Path) -> None:
            learner.write(folder)
            (folder / checkpoint.STATE_FILE).write_bytes(state)
            for place in (folder, folder / checkpoint.ADAPTER_FOLDER):
                name_another_base(place, foreign, marker)

        learner.learn(0, next(learner.steps_from(0)))
        saved = kept(learner)
        path = checkpoint.save(job.run.checkpoints, 1, write)

        # Nothing takes a hook off again, so that it only notes what lies in this test's own folder.
        def note(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and str(arguments[0]).startswith(str(path)):
                opened.append(Path(arguments[0]).name)
            assert event != "open" or not str(arguments[0]).startswith(str(foreign))

        learner.learn(1, next(learner.steps_from(1)))
        sys.addaudithook(note)
        assert checkpoint.newest(job.run.checkpoints) == (path, [])
        opened.clear()
        learner.read(path)
        assert all(torch.equal(value, saved[name]) for name, value in kept(learner).items())
    # Safetensors are mapped by a library that tells no hook.
    assert set(opened) <= {
        checkpoint.STATE_FILE, checkpoint.OPTIMIZER_FILE, "adapter_model.safetensors"
    }  # fmt: skip
    assert checkpoint.STATE_FILE in opened
    assert not marker.exists()


@pytest.mark.parametrize("whole", [True, False], ids=["model and adapter", "adapter alone"])
def test_an_adapter_is_no_base_whatever_base_it_names(
    tiny_model_folder: Path, foreign: Path, tmp_path: Path, whole: bool
) -> None:
    folder, marker = tmp_path / "model", tmp_path / "marker"
    if whole:
        shutil.copytree(tiny_model_folder, folder)
    else:
        folder.mkdir()
    name_another_base(folder, foreign, marker)
    add_programs(folder, marker)
    save_file({"base_model.model.x": torch.zeros(1)}, folder / "adapter_model.safetensors")
    with pytest.raises(UsageError) as caught:
        open_config(ModelConfig(path=str(folder)))
    assert str(folder) in str(caught.value)
    assert str(foreign) not in str(caught.value)
    if whole:
        assert "adapter_config.json" in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_that_cannot_be_used_is_one_line(
    foreign: Path, tmp_path: Path, template: str
) -> None:
    marker = tmp_path / "marker"
    (foreign / "chat_template.jinja").write_text(template.replace("MARKER", str(marker)))
    with pytest.raises(UsageError, match="chat template") as caught:
        load_processing(ModelConfig(path=str(foreign)), QWEN2_VL)
    told = str(caught.value)
    assert told.startswith(str(foreign))
    assert "\n" not in told
    assert len(told) < 1000
    assert not marker.exists()
