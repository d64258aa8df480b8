"""Every measure of a reply: twenty typical misses counted by hand, and what must always hold."""

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluate.jaso import jaso, one_minus_ned
from core.evaluate.kstr import WILDCARD, kstr_jaso, kstr_word
from core.evaluate.measures import MISSING, RowMeasures, character_error_rate, measure
from core.evaluate.names import accepted_forms
from core.evaluate.predictions import ReadRow
from core.evaluate.refusals import is_over_long, is_refusal
from core.evaluate.summary import scored, summarize

ONE_MART = "원마트 (ONE MART)"
# What is right of an answer that is the label, and of one that only normalises to it.
EXACT = "exact normalized similarity80 accepted contained nfkc_exact nfkc_normalized "
EXACT += "nfkc_similarity80 kstr_word"
NORMALIZED = "normalized similarity80 accepted contained nfkc_normalized nfkc_similarity80"
RAW_NORMALIZED = "raw_normalized raw_similarity80"
NFKC = "nfkc_exact nfkc_normalized nfkc_similarity80"
SIMILAR = "similarity80 raw_similarity80 nfkc_similarity80"
# Truth, reply, and every yes of it, as a person says it.
MISSES: tuple[tuple[str, str | None, str], ...] = (
    ("마왕족발", "마왕족발", f"{EXACT} raw_exact {RAW_NORMALIZED}"),
    ("kokoro", "KOKORO", f"{NORMALIZED} {RAW_NORMALIZED}"),
    ("마왕족발", "마왕 족발", f"{NORMALIZED} {RAW_NORMALIZED} kstr_word"),
    # Nine digits beside four syllables: 2 * 4 / (4 + 13) = 47 %.
    ("마왕족발", "마왕족발 02-123-4567", "contained"),
    # 34 characters are over 2 * 4 + 20.
    ("마왕족발", 'The text on the sign reads "마왕족발".', f"{EXACT} over_long"),
    # 3 of 3 and 10 characters: 46 %.
    (ONE_MART, "원마트", "accepted contained"),
    # 7 of 7 and 10 characters: 82 %.
    (ONE_MART, "ONE MART", f"accepted contained {SIMILAR}"),
    # 7 of 10 and 10 characters stand in order: 70 %.
    (ONE_MART, "ONE MART 원마트", "accepted contained"),
    (ONE_MART, "원마트(ONE MART)", f"{NORMALIZED} {RAW_NORMALIZED} kstr_word"),
    ("스타벅스", "메가커피", ""),
    # One wrong syllable of five is 80 %, of four 75 %, of two 50 %.
    ("가나다라마", "가나다라바", SIMILAR),
    ("가나다라", "가나다바", ""),
    ("본죽", "본축", ""),
    # 26 characters are no more than 28.
    ("김밥천국", "죄송합니다. 이미지의 글자를 읽을 수 없습니다.", "refusal"),
    ("김밥천국", "I'm sorry, but I can't read the text in this image.", "refusal over_long"),
    ("김밥천국", None, "missing"),
    ("김밥천국", "", ""),
    # Only 커피 is left of full-width letters once normalised: 2 * 2 / (2 + 5) = 57 %.
    ("ONE커피", "ＯＮＥ커피", NFKC),
    ("교촌치킨", "교촌치킨\n1577-0000", EXACT),
    (
        "이디야커피",
        unicodedata.normalize("NFD", "이디야커피"),
        f"{EXACT} raw_exact {RAW_NORMALIZED}",
    ),
)
# Of the twenty, by hand.
COUNTS = {
    "exact": 4,
    "normalized": 7,
    "similarity80": 9,
    "accepted": 10,
    "contained": 11,
    "refusal": 2,
    "over_long": 2,
    "missing": 1,
    "raw_exact": 2,
    "raw_normalized": 5,
    "raw_similarity80": 7,
    "nfkc_exact": 5,
    "nfkc_normalized": 8,
    "nfkc_similarity80": 10,
    "kstr_word": 6,
}
Form = Literal["NFC", "NFD"]
FORMS: st.SearchStrategy[Form] = st.sampled_from(["NFC", "NFD"])
HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
SIGNS = st.text(st.one_of(HANGUL, st.sampled_from("kKoO ()é가각ㄱㅏ□１Ｋ\n")), max_size=12)


def read_row(truth: str, reply: str | None, row: int = 1) -> ReadRow:
    return scored(
        ReadRow(row=row, id=f"{row:016x}", image="a.jpg", prompt="", truth=truth, reply=reply)
    )


@pytest.mark.parametrize(("truth", "reply", "yes"), MISSES)
def test_a_typical_miss(truth: str, reply: str | None, yes: str) -> None:
    found = measure(truth, reply)
    assert {name for name in COUNTS if getattr(found, name)} == set(yes.split())


def test_twenty_misses_give_the_counts_of_a_person() -> None:
    summary = summarize([read_row(truth, reply) for truth, reply, _yes in MISSES])
    assert summary.n == 20
    found = {name: getattr(summary, name).value for name in COUNTS}
    assert found == {name: count / 20 for name, count in COUNTS.items()}
    assert (round(summary.exact.low, 3), round(summary.exact.high, 3)) == (0.081, 0.416)


@pytest.mark.parametrize(
    ("truth", "reply", "cer", "letters", "kstr"),
    [
        ("마왕족발", "마왕 족발", 1 / 4, 1 - 1 / 12, 1.0),
        ("본죽", "본축", 1 / 2, 1 - 1 / 6, 1 - 1 / 6),
        ("스타벅스", "메가커피", 1.0, 1 - 7 / 9, 1 - 7 / 9),
        ("치킨", "친친", 1.0, 1 - 2 / 6, 1 - 2 / 6),
        ("kokoro", "KOKORO", 1.0, 0.0, 0.0),
        ("가", "가나다라마바사", 1.0, 1 - 12 / 14, 1 - 12 / 14),
        ("가나", "", 1.0, 0.0, 0.0),
    ],
)
def test_how_far_an_answer_is(
    truth: str, reply: str, cer: float, letters: float, kstr: float
) -> None:
    found = measure(truth, reply)
    assert (found.cer, found.jaso, found.kstr_jaso) == pytest.approx((cer, letters, kstr))


def test_a_missing_reply_is_wrong_in_every_measure() -> None:
    assert measure("마왕족발", None, cut=True) == MISSING
    assert RowMeasures(cer=1.0, missing=True) == MISSING
    assert not measure("", None).exact


def test_a_reply_that_was_cut_is_over_long() -> None:
    assert measure("마왕족발", "마왕족발", cut=True).over_long
    assert not measure("마왕족발", "마왕족발").over_long


@pytest.mark.parametrize(
    ("truth", "metadata", "forms"),
    [
        (ONE_MART, None, (ONE_MART, "원마트", "ONE MART", "원마트 ONE MART", "ONE MART 원마트")),
        ("BBQ (비비큐)", None, ("BBQ (비비큐)", "비비큐", "BBQ", "비비큐 BBQ", "BBQ 비비큐")),
        ("원마트 (본점)", None, ("원마트 (본점)",)),
        ("원마트（ONE）", None, ("원마트（ONE）", "원마트", "ONE", "원마트 ONE", "ONE 원마트")),
        ("GS25 (24)", None, ("GS25 (24)",)),
        ("마왕족발", None, ("마왕족발",)),
        ("마왕족발", {"store_kor_name": " 마왕 ", "store_eng_name": ""}, ("마왕족발", "마왕")),
        (
            "원마트",
            {"store_kor_name": "원마트", "store_eng_name": "ONE"},
            ("원마트", "ONE", "원마트 ONE", "ONE 원마트"),
        ),
        ("원마트", {"store_kor_name": 7, "store_eng_name": None}, ("원마트",)),
    ],
)
def test_accepted_forms(
    truth: str, metadata: dict[str, object] | None, forms: tuple[str, ...]
) -> None:
    assert accepted_forms(truth, metadata) == forms


def test_the_metadata_names_what_is_accepted() -> None:
    metadata = {"store_kor_name": "코코로", "store_eng_name": "kokoro"}
    assert not measure("코코로", "KOKORO!").accepted
    assert measure("코코로", "KOKORO!", metadata=metadata).accepted


def test_a_name_of_one_character_has_to_be_the_answer() -> None:
    assert not measure("뜰", "이 간판은 뜰채입니다").contained
    assert measure("뜰", "뜰!").contained
    assert measure("☆", "☆").accepted
    assert not measure("☆", "★").accepted


@pytest.mark.parametrize(
    "reply",
    [
        "죄송하지만 간판의 글자가 흐려서 읽을 수 없습니다",
        "이 이미지에서는 텍스트를 확인할 수가 없네요",
        "판독불가",
        "간판이 보이지 않습니다.",
        "글자가 없습니다",
        "Sorry, the sign is too blurry.",
        "I’m very sorry",
        "I am unable to clearly read it.",
        "There is no visible text in the image.",
        "No text visible",
        "The sign is illegible.",
        "As an AI language model, I see a shop.",
        unicodedata.normalize("NFD", "죄송합니다"),
    ],
)
def test_refusals(reply: str) -> None:
    assert is_refusal(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "마왕족발",
        "간판없는집",
        "송죽원",
        "Sorry Coffee Roasters, 2F"[6:],
        "No.1 헤어",
        "글씨당",
        "",
    ],
)
def test_names_are_no_refusals(reply: str) -> None:
    assert not is_refusal(reply)


def test_over_long_begins_above_twice_the_truth_and_twenty() -> None:
    assert not is_over_long("가나", " " + "가" * 24 + "\n")
    assert is_over_long("가나", "가" * 25)


@given(SIGNS, SIGNS, FORMS, FORMS)
def test_no_measure_sees_how_syllables_are_composed(
    truth: str, reply: str, left: Form, right: Form
) -> None:
    forms = unicodedata.normalize(left, truth), unicodedata.normalize(right, reply)
    assert measure(*forms) == measure(truth, reply)


@given(st.text(), st.text())
def test_measures_keep_their_bounds_and_their_order(truth: str, reply: str) -> None:
    found = measure(truth, reply)
    for name in ("", "raw_", "nfkc_"):
        exact, normalized, similar, mark = (
            getattr(found, name + each)
            for each in ("exact", "normalized", "similarity", "similarity80")
        )
        assert exact <= normalized <= mark == (similar >= 80)
        assert 0 <= similar <= 100
    assert all(0 <= value <= 1 for value in (found.cer, found.jaso, found.kstr_jaso))
    assert found.normalized <= found.accepted <= found.contained
    assert found.exact <= (found.cer == 0)
    assert found.exact <= found.kstr_word <= (found.kstr_jaso == 1)


@given(SIGNS)
def test_the_truth_itself_is_right(truth: str) -> None:
    answer = truth.strip()
    if answer and len(answer.splitlines()) == 1:
        found = measure(answer, answer)
        assert found.exact
        assert found.raw_exact
        assert found.kstr_word
        assert (found.cer, found.jaso, found.kstr_jaso) == (0, 1, 1)


@given(SIGNS, SIGNS)
def test_what_has_no_direction(a: str, b: str) -> None:
    assert one_minus_ned(jaso(a), jaso(b)) == one_minus_ned(jaso(b), jaso(a))
    assert (character_error_rate(a, b) == 0) == (character_error_rate(b, a) == 0)
    if WILDCARD not in a + b:
        assert kstr_jaso(a, b) == kstr_jaso(b, a)
        assert kstr_word(a, b) == kstr_word(b, a)
