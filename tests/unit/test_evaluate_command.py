"""`evaluate` without a model: replies of a file, files against each other, and what is told."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sign_rows import chat_row

from core.evaluate.paired import PairedTable, newcombe
from core.evaluate.predictions import read_predictions
from core.evaluate.text import wilson
from kocr_tui import format as fmt
from kocr_tui.cli import main
from kocr_tui.options.arguments import make_parser

SCORE = {"value", "low", "high"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten rows whose photos aren't there, and a home of its own."""
    monkeypatch.setenv("KOCR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    names = [f"마왕족발{row}호" for row in range(10)]
    categories = ["음식", "음식", "카페", "약국", "음식"] * 2
    lines = [
        {**chat_row(f"{row}.jpg", name), "metadata": {"business_category": category}}
        for row, (name, category) in enumerate(zip(names, categories, strict=True))
    ]
    return jsonl(tmp_path / "validation.jsonl", lines)


def jsonl(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return path


def replies(folder: Path, name: str, *texts: str | None) -> str:
    lines = [{"image": f"{row}.jpg", "reply": text} for row, text in enumerate(texts)]
    return str(jsonl(folder / name, lines))


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["evaluate", *arguments]) == 0
    return capsys.readouterr().out


def test_replies_made_elsewhere_are_scored(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = replies(data.parent, "upstage.jsonl", "마왕족발0호", "마왕 족발1호", "마왕족발7호", None)
    found = json.loads(evaluate(capsys, str(data), "--predictions", file, "--json"))
    assert (found["n"], found["exact"]["value"], found["normalized"]["value"]) == (10, 0.1, 0.2)
    assert found["similarity80"]["value"] == 0.3
    assert found["missing"]["value"] == 0.7
    assert found["exact"].keys() == SCORE
    assert (found["exact"]["low"], found["exact"]["high"]) == wilson(1, 10)
    assert found["strata"]["business_category"]["음식"]["n"] == 6
    assert "rows" not in found
    told = json.loads(evaluate(capsys, str(data), "--predictions", file, "--json", "--rows"))
    assert [row["row"] for row in told["rows"]] == list(range(1, 11))
    assert told["rows"][1]["extracted"] == "마왕 족발1호"
    assert told["rows"][1]["scores"]["normalized"] is True
    assert told["rows"][3]["why"] == "no reply in upstage.jsonl"


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_report_for_people(data: Path, capsys: pytest.CaptureFixture[str], language: str) -> None:
    file = replies(data.parent, "upstage.jsonl", "마왕족발0호", "마왕 족발1호", "마왕족발7호")
    out = evaluate(capsys, "--lang", language, str(data), "--predictions", file)
    lines = out.splitlines()
    assert "10" in lines[0]
    assert "7" in lines[0]
    assert " 10.0 % [1.8–40.4]" in out
    table = lines.index(next(line for line in lines if "음식" in line))
    # Wide characters take two columns, and the figures stand below each other all the same.
    rows = lines[table : table + 3]
    assert [row.split()[0] for row in rows] == ["음식", "약국", "카페"]
    assert len({fmt.width(row) for row in rows}) == 1
    words = {"en": ["business category", "similarity≥80"], "ko": ["업종", "유사도≥80"]}[language]
    assert all(word in out for word in words)


def test_predictions_are_kept_and_compared(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data.parent
    before = replies(folder, "before.jsonl", "마왕족발0호", "다른집", "다른집", "마왕족발3호")
    after = replies(folder, "after.jsonl", "다른집", "마왕 족발1호", "마왕족발2호", "마왕족발3호")
    kept = [str(folder / name) for name in ("a.jsonl", "b.jsonl")]
    for file, out in zip((before, after), kept, strict=True):
        assert out in evaluate(capsys, str(data), "--predictions", file, "--out", out)
    assert len(read_predictions(Path(kept[0])).rows) == 10
    found = json.loads(evaluate(capsys, "--compare", *kept, "--json"))
    [pair] = found["pairs"]
    assert (found["n"], pair["name"]) == (10, kept[1])
    low, high = newcombe(PairedTable(both=1, first=1, second=2, neither=6))
    assert pair["differences"]["normalized"] == {
        "value": 0.1,
        "low": low,
        "high": high,
        "fixed": 2,
        "broken": 1,
        "p": 1.0,
    }
    assert [change["truth"] for change in pair["fixed"]] == ["마왕족발1호", "마왕족발2호"]
    assert [change["after"] for change in pair["broken"]] == ["다른집"]
    told = evaluate(capsys, "--compare", *kept)
    assert "+10.0 [-26.5 … +43.5]" in told
    assert "마왕족발1호" in told
    again = json.loads(evaluate(capsys, "--predictions", kept[0], "--json"))
    assert again["n"] == 10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--compare", "a.jsonl"], "two files of predictions or more"),
        (["--compare", "a.jsonl", "a.jsonl"], "each file once"),
        (["--compare", "a.jsonl", "b.jsonl"], "a.jsonl: no such file"),
        (["--predictions", "none.jsonl"], "none.jsonl: no such file"),
        (["rows.jsonl", "--predictions", "none.jsonl"], "none.jsonl: no such file"),
        (["x", "rows.jsonl", "--predictions", "replies.jsonl"], "one DATA"),
        (["rows.jsonl", "--predictions", "replies.jsonl"], "1 replies belong to no row"),
        (["rows.jsonl", "--predictions", "replies.jsonl", "--root", "nowhere"], "nowhere"),
        (["none.jsonl", "--predictions", "replies.jsonl"], "none.jsonl: no such file"),
    ],
)
def test_mistakes_are_one_line(
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(data.parent)
    data.rename("rows.jsonl")
    replies(data.parent, "replies.jsonl", *[None] * 11)
    assert main(["evaluate", *arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert words in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--reader", "upstage"], "tesseract, donut:PATH or transformers:PATH"),
        (["--reader", "donut:"], "tesseract, donut:PATH"),
        (["--checkpoint", "newest"], "best, last or a step"),
        (["-n", "0"], "1 or more"),
        (["--reader", "tesseract", "--predictions", "x"], "not allowed with"),
        (["--base", "--checkpoint", "3"], "not allowed with"),
    ],
)
def test_options_that_cannot_be(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as left:
        make_parser().parse_args(["evaluate", "run", *arguments])
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_options_that_can_be() -> None:
    parse = make_parser().parse_args
    assert parse(["evaluate", "last"]).checkpoint == "best"
    found = parse(
        ["evaluate", "last", "v.jsonl", "--checkpoint", "40", "-n", "200", "--batch", "4"]
    )
    assert (found.what, found.data, found.checkpoint, found.count, found.batch) == (
        "last",
        "v.jsonl",
        40,
        200,
        4,
    )
    assert parse(["evaluate", "v.jsonl", "--reader", "donut:x/y"]).reader == "donut:x/y"


def test_scoring_needs_no_torch(data: Path) -> None:
    file = replies(data.parent, "replies.jsonl", "마왕족발0호")
    code = "import sys\nfrom kocr_tui.cli import main\nmain(sys.argv[1:])\n"
    code += "heavy = {'torch', 'transformers', 'peft', 'textual'} & set(sys.modules)\n"
    code += "print(heavy, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", str(data), "--predictions", file, "--json"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert json.loads(done.stdout)["n"] == 10
    assert done.stderr == "set()\n"
