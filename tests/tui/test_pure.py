"""The console's pure parts: figures, foreign text, strings, form, feed and registry."""

import re
from pathlib import Path
from string import Formatter

import pytest
from tui_story import EPOCH, Story, training_story

from core.evaluate.text import Score
from core.events import Log, Prediction, State, StateChanged, Step
from kocr_tui import format as fmt
from kocr_tui.actions import ACTIONS, PLACES, actions_at, key_label, keys_of
from kocr_tui.reading.run_watch import RunFeed
from kocr_tui.strings import LANGUAGES, language_of, table, use_language
from kocr_tui.views.form import FIELDS, Field, config_of, problem
from kocr_tui.views.run_view import RunView
from kocr_tui.widgets.chart import decimate, ticks
from kocr_tui.widgets.key_bar import entries, key_line
from kocr_tui.widgets.samples import DIFFERS, marked, prediction_line


def test_both_languages_have_the_same_keys_and_values() -> None:
    korean, english = table("ko"), table("en")
    assert korean.keys() == english.keys()
    for key, text in english.items():
        assert names_in(text) == names_in(korean[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_section_is_in_one_file_alone(language: str) -> None:
    folder = Path(__file__).parents[2] / "kocr_tui" / "strings" / language
    found = [
        section
        for file in folder.glob("*.toml")
        for section in {
            line[1:-1].partition(".")[0]
            for line in file.read_text().splitlines()
            if line.startswith("[")
        }
    ]
    assert len(found) == len(set(found))


def names_in(text: str) -> set[str | None]:
    return {name for _text, name, _spec, _conversion in Formatter().parse(text) if name}


def test_every_key_in_the_code_has_a_string() -> None:
    folder = Path(__file__).parents[2] / "kocr_tui"
    code = "\n".join(path.read_text() for path in folder.rglob("*.py"))
    literal = set(re.findall(r'say\(\s*"([\w.]+)"', code))
    assert literal <= table("en").keys()


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_language_of_the_environment(environment: dict[str, str], language: str) -> None:
    assert language_of(environment) == language


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_action_has_a_title_and_help(language: str) -> None:
    use_language(language)
    for action in ACTIONS:
        assert action.title
        assert action.help


def test_no_two_actions_of_a_place_share_a_key() -> None:
    for place in PLACES:
        keys = [key for action in actions_at(place) for key in keys_of(action)]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_key_bar_fits_eighty_columns_with_back_and_quit(language: str) -> None:
    use_language(language)
    line = key_line(
        [one for one in actions_at("training") if one.applies("training")], "training", 79
    )
    assert line.cell_length <= 80
    for key in ("s ", "a ", "p ", "e ", "c ", "t ", "esc ", "q ", "? "):
        assert key in line.plain


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("live", "keys"),
    [(None, "n d / q ?"), ("training", "↵ n d s v x / q ?"), ("stopped", "↵ n d r v x / q ?")],
)
def test_the_key_bar_of_the_list_has_what_one_needs_most_at_eighty_columns(
    language: str, live: State | None, keys: str
) -> None:
    use_language(language)
    actions = [one for one in actions_at("home") if one.applies(live)]
    shown = [key_label(action) for action, _piece in entries(actions, live, 79)]
    assert set(keys.split()) <= set(shown)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41, "41s"), (187, "3m 07s"), (3720, "1h 02m"), (187_200, "2d 04h"), (None, "–")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert fmt.duration(seconds) == text


def test_percent_and_size() -> None:
    assert fmt.percent(Score(value=0.635, low=0.57, high=0.69)) == "63.5 % [57–69]"
    assert fmt.percent(Score(value=None, low=0, high=1)) == "–"
    assert fmt.size(21.3 * 2**30) == "21.30 GiB"
    assert fmt.size(412 * 2**20) == "412 MiB"


def test_hangul_is_padded_and_cut_by_columns() -> None:
    assert fmt.pad("마왕족발", 10) == "마왕족발  "
    assert fmt.width(fmt.cut("마왕족발집", 6)) <= 6
    assert fmt.cut("마왕족발집", 6) == "마왕…"
    assert fmt.pad_left("발", 4) == "  발"


def test_control_characters_are_made_visible() -> None:
    shown = fmt.visible("a\x1b[31m\nb\x7f\u202ec")
    assert shown == "a␛[31m␊b␡<202E>c"
    assert fmt.visible("가") == "가"


def test_a_bar_is_as_long_as_asked() -> None:
    for share in (-1, 0, 0.01, 0.5, 0.999, 1, 7):
        assert len(fmt.bar(share, 20)) == 20
    assert fmt.bar(0.5, 4) == "██░░"


def test_decimation_keeps_ends_and_means() -> None:
    points = [(float(x), float(x % 2)) for x in range(1000)]
    thin = decimate(points, 40)
    assert len(thin) == 80
    assert thin[-1][0] == 999
    assert all(0.3 < y < 0.7 for _x, y in thin)
    assert decimate(points[:5], 40) == points[:5]


def test_ticks_are_few_and_round() -> None:
    assert ticks(930, 4) == [0, 500]
    assert ticks(400, 4) == [0, 100, 200, 300, 400]
    assert ticks(2, 4) == [0, 1, 2]


def prediction(truth: str, reply: str | None) -> Prediction:
    return Prediction(
        row=1, image="a.jpg", truth=truth, reply=reply, exact=False, normalized=False, similarity=75
    )


def test_differing_syllables_are_marked_in_both_texts() -> None:
    left, right = marked("마왕족발", "마왕족밥")
    assert [str(span.style) for span in right.spans if span.style] == [DIFFERS]
    assert left.plain == "마왕족발"
    assert [(span.start, span.end) for span in right.spans if span.style] == [(3, 4)]


@pytest.mark.parametrize("columns", [60, 79, 118])
def test_prediction_lines_are_aligned_with_hangul(columns: int) -> None:
    use_language("en")
    short = prediction_line(prediction("마왕족발", "마왕족밥"), columns)
    long = prediction_line(prediction("스타벅스 강남대로점" * 5, "STARBUCKS" * 9), columns)
    assert short.plain.index("→") > 0
    arrows = [fmt.width(line.plain.split("→")[0]) for line in (short, long)]
    assert arrows[0] == arrows[1]
    assert short.cell_length == long.cell_length <= columns


def values(**given: str) -> dict[str, str]:
    base = {field.key: field.default for field in FIELDS}
    return base | {key.replace("__", "."): text for key, text in given.items()}


def field(key: str) -> Field:
    return next(one for one in FIELDS if one.key == key)


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("lora.rank", "0", "needs 1 or more"),
        ("lora.rank", "9999", "needs 1024 or less"),
        ("train.epochs", "x", "needs a number"),
        ("train.epochs", "", "needs a value"),
        ("tune.max_pixels", "", None),
        ("tune.max_pixels", "1,003,520", None),
        ("tune.max_pixels", "-1", "needs 1 or more"),
        ("data.train", "/nowhere/train.jsonl", "no such file"),
        ("model.path", "/nowhere", "no such folder"),
        ("model.path", "Qwen/Qwen2-VL-7B-Instruct", None),
        ("name", "a b", "letters, digits, - _ . only, 64 at most"),
    ],
)
def test_fields_are_checked_by_the_engines_rules(key: str, text: str, reason: str | None) -> None:
    use_language("en")
    assert problem(field(key), values() | {key: text}) == reason


def test_the_form_becomes_a_config_with_absolute_paths(tmp_path: Path) -> None:
    config = config_of(
        values(
            data__train="a.jsonl",
            data__validation="b.jsonl",
            tune__goal="fixed",
            tune__max_pixels="1,003,520",
        ),
        tmp_path,
    )
    assert config.data.train == str(tmp_path / "a.jsonl")
    assert config.tune.max_pixels == 1_003_520
    assert config.lora.rank == 16


def test_a_feed_hands_over_each_event_once(runs: Path) -> None:
    story = training_story(runs)
    feed = RunFeed(RunView(story.run, None, EPOCH))
    assert feed.opened() is None
    assert feed.look()
    opened = feed.opened()
    assert opened is not None
    assert [step.step for step in opened.state.steps] == list(range(1, 121))
    assert feed.opened() is None
    assert feed.take()[0] == []
    story.step(121)
    assert feed.look()
    second, pulse = feed.take()
    assert [event.step for event in second if isinstance(event, Step)] == [121]
    assert len(second) == 1
    assert pulse.live == "died"
    assert not feed.look()


def test_the_log_leaves_out_routine_states(runs: Path) -> None:
    use_language("en")
    story = Story(runs)
    feed = RunFeed(RunView(story.run, None, EPOCH))
    for state in ("training", "saving", "training", "validating", "training", "paused"):
        story.put(StateChanged(state=state))  # type: ignore[arg-type]
    story.put(Log(level="warning", message="odd\x07"))
    feed.look()
    view = feed.opened()
    assert view is not None
    assert [line.text for line in view.lines] == ["now training", "now paused", "odd␇"]
