"""Every action of the registry is done by a test somewhere: ``@pytest.mark.action("stop")``."""

import ast
from collections.abc import Iterator
from pathlib import Path

from kocr_tui.actions import ACTIONS


def marked_actions(folder: Path) -> set[str]:
    """The ids in the action marks of a folder's tests, collected from their source.

    Read and not imported, so that running this file alone knows of all the others.
    """
    files = folder.glob("test_*.py")
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return {name for tree in trees for name in _marks(tree)}


def _marks(tree: ast.Module) -> Iterator[str]:
    for test in ast.walk(tree):
        if isinstance(test, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for mark in test.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.action":
                    yield from (ast.literal_eval(argument) for argument in mark.args)


def test_every_action_is_done_by_a_test() -> None:
    untested = {action.id for action in ACTIONS} - marked_actions(Path(__file__).parent)
    assert not untested, f"mark a test that does it with @pytest.mark.action: {sorted(untested)}"


def test_no_mark_names_an_action_that_is_not_there() -> None:
    assert not marked_actions(Path(__file__).parent) - {action.id for action in ACTIONS}


def test_marks_are_found(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        '@pytest.mark.action("stop", "abort")\nasync def test_it(): ...\n'
        '@pytest.mark.timeout(3)\n@pytest.mark.action("copy")\ndef test_more(): ...\n'
    )
    (tmp_path / "other.py").write_text('@pytest.mark.action("quit")\ndef test_it(): ...\n')
    assert marked_actions(tmp_path) == {"stop", "abort", "copy"}
