"""Memory that ran out is one line, in the log and in plain output, in both languages."""

from typing import get_args

import pytest

from core.events import RanOutOfMemory, Remedy
from kocr_tui.plain.follow import _Printer
from kocr_tui.strings import LANGUAGES, use_language
from kocr_tui.views.story import line_of


def ran_out(remedy: Remedy) -> RanOutOfMemory:
    return RanOutOfMemory(
        step=1234,
        remedy=remedy,
        budget_before=8192,
        budget_after=4096,
        peak_bytes=22 * 2**30,
        limit_bytes=20 * 2**30,
        message="CUDA out of memory.\nTried to allocate",
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("remedy", get_args(Remedy))
def test_it_is_a_warning_in_the_log(remedy: Remedy, language: str) -> None:
    use_language(language)
    line = line_of(ran_out(remedy))
    assert line is not None
    assert line.level == "warning"
    assert "1234" in line.text
    assert ("4,096" in line.text) == (remedy == "halve")
    assert "\n" not in line.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("remedy", get_args(Remedy))
def test_it_is_a_plain_line(
    remedy: Remedy, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    use_language(language)
    _Printer("run").show(ran_out(remedy))
    [line] = capsys.readouterr().out.splitlines()
    assert "1234" in line
    assert "20.00 GiB" in line
    assert ("4096" in line) == (remedy == "halve")
