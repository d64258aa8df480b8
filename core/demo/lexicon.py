"""Words that Korean shop signs are made of, and the characters the demo base model reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

Split = Literal["train", "validation"]

LONGEST_NAME = 7  # syllables; a longer name would not fit a 224 px wide board at a readable size
LONGEST_ENGLISH = 13  # characters, the space included
VALIDATION_SHARE = 0.2

# Korean and English, where shops write the word in both ("원마트 (ONE MART)").
_BILINGUAL_PREFIXES = (
    "원 ONE,골드 GOLD,스타 STAR,해피 HAPPY,그린 GREEN,블루 BLUE,킹 KING,퀸 QUEEN,로얄 ROYAL,"
    "뉴 NEW,빅 BIG,탑 TOP,굿 GOOD,하이 HI,러브 LOVE,문 MOON,썬 SUN,드림 DREAM,프라임 PRIME,"
    "메가 MEGA,마이 MY,우리 WOORI,서울 SEOUL,부산 BUSAN,한강 HANGANG,제주 JEJU,강남 GANGNAM,"
    "명동 MYEONGDONG,미소 MISO,다온 DAON,나라 NARA,하나 HANA,온누리 ONNURI,아리랑 ARIRANG,"
    "라온 RAON,가온 GAON,스마일 SMILE,엔젤 ANGEL,레드 RED,화이트 WHITE,블랙 BLACK,리틀 LITTLE,"
    "오션 OCEAN,시티 CITY,파크 PARK,힐링 HEALING,루나 LUNA,베스트 BEST,퍼스트 FIRST,월드 WORLD"
)
_BILINGUAL_SUFFIXES = (
    "마트 MART,카페 CAFE,치킨 CHICKEN,피자 PIZZA,버거 BURGER,헤어 HAIR,네일 NAIL,뷰티 BEAUTY,"
    "베이커리 BAKERY,커피 COFFEE,호텔 HOTEL,모텔 MOTEL,하우스 HOUSE,키친 KITCHEN,푸드 FOOD,짐 GYM,"
    "스토어 STORE,플라워 FLOWER,북스 BOOKS,펍 PUB,바 BAR,그릴 GRILL,스시 SUSHI,포차 POCHA,"
    "댄스 DANCE,골프 GOLF,요가 YOGA,펫 PET,스튜디오 STUDIO,클럽 CLUB"
)
_PREFIXES = (
    "마왕 대박 할머니 엄마손 이모네 황금 행복 사랑 푸른 한우리 왕가 전주 대구 광주 대전 인천 수원 "
    "춘천 강릉 여수 통영 속초 안동 경주 목포 포항 울산 홍대 신촌 종로 신림 성수 장수 만리 천하 "
    "으뜸 제일 최고 참 옛날 시골 고향 두메 산들 바다 남해 동해 서해 금강 백두 한라 설악 지리 무등 "
    "태백 소백 장군 왕비 임금 양반 도령 선비 명가 종가 본가 원조 진짜 착한 맛있는 정직한 따뜻한 "
    "신선한 건강 청춘 낭만 추억 인생 소문난 유명한 큰집 작은집 삼촌네 고모네 언니네 누나네 형제 "
    "자매 가족 친구 달빛 별빛 햇살 은하수 무지개 구름 바람 노을 새벽 아침 저녁 봄날 여름 가을 "
    "겨울 꽃길 숲속 들판 강변 언덕 골목 사거리 시장 역전 중앙 동네 마을 현대 미래 신세계 대성 "
    "삼성당 영진 성원 동아 한일 세종 충무 을지 광화문 남산 북촌 서촌 인사동 이태원 압구정 청담 "
    "잠실 송파 노원 은평 마포 용산 콩쥐 흥부 놀부 심청 춘향 길동 까치 두루미 호랑이 토끼 거북이 "
    "두꺼비 황소 돼지 코끼리 기린 복순이 순이네 철수네 영희네 김씨 박씨네 최가네 정가 조씨 강씨네 "
    "윤가네 임씨네 한씨 오복 칠성 만석 천년 백년 오늘 내일 매일 처음 다시 함께 우정 믿음 소망 "
    "기쁨 축복 은혜 새롬 다솜 누리 아라"
)
_SUFFIXES = (
    "족발 보쌈 국밥 순대국 해장국 설렁탕 갈비 갈비탕 삼겹살 곱창 막창 닭갈비 닭발 통닭 찜닭 "
    "삼계탕 칼국수 국수 냉면 우동 라면 분식 김밥 떡볶이 만두 돈까스 초밥 횟집 회센타 조개구이 "
    "장어 아구찜 해물탕 감자탕 부대찌개 김치찌개 순두부 두부집 쌈밥 비빔밥 죽집 반찬 식당 밥상 "
    "한정식 중화요리 짜장면 양꼬치 호프 주막 포장마차 막걸리 빵집 제과점 떡집 찻집 다방 방앗간 "
    "정육점 청과 수산 야채 슈퍼 편의점 약국 한의원 치과 내과 의원 안과 피부과 안경 미용실 이발소 "
    "사우나 목욕탕 찜질방 노래방 피시방 당구장 볼링장 학원 독서실 서점 문구 사진관 꽃집 세탁소 "
    "수선 철물점 전기 건재 페인트 열쇠 부동산 공인중개사 자동차 카센타 타이어 세차장 주유소 여관 "
    "펜션 민박 가구 침구 커튼 한복 양복점 신발 가방 모자 시계 보석 금은방 휴대폰 컴퓨터 복사 인쇄 "
    "택배 태권도 체육관 수영장 동물병원 유치원"
)
_SLOGANS = (
    "맛있는 집,정성 가득,24시간 영업,배달 환영,포장 가능,단체 예약,원조 맛집,친절 봉사,신장개업,"
    "오늘도 행복,전국 배달,예약 문의,주차 완비,연중무휴,점심 특선,국내산 재료,신선한 재료,"
    "손맛 그대로,30년 전통,최저 가격,당일 배송,무료 상담,엄마의 손맛,믿고 찾는 집,건강한 한끼,"
    "새로운 맛,가족 모임,회식 환영,매일 아침,항상 감사,정직한 가격,전화 주문,방문 환영,특가 판매,"
    "개업 할인,신메뉴 출시,숯불구이 전문,수제 전문점,도매 소매,카드 환영"
)
SLOGANS = tuple(_SLOGANS.split(","))

SYMBOLS = "-&.!()"
DIGITS = "0123456789"
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_INITIALS = (0, 2, 3, 5, 6, 7, 9, 11, 12, 14, 15, 16, 17, 18)  # the fourteen single consonants
_OPEN_VOWELS = (0, 1, 4, 5, 6, 8, 12, 13, 17, 18, 20)
_CLOSED_VOWELS = (0, 4, 8, 13, 18, 20)
_FINALS = (1, 4, 8, 16, 17, 19, 21)  # the seven final sounds: ㄱ ㄴ ㄹ ㅁ ㅂ ㅅ ㅇ
# Frequent syllables that the regular ones above leave out.
_OTHERS = (
    "텍읽있없않많같밖끝높좋받엘젤넬셀켈렌덴센젠멘벤텐펜텔멜델벨헬엠켓셋넷렉섹맥백색택핵책랙객"
    "꿀꿈꽃떡빵쌈뼈쑥씨짬짱찌끼까꼬꾸뚜또빠뽀뿌쏘쑤싸써땅똥딸꿩짝쪽쭈찐쫄뜰뜻빛숲옷앞옆잎짚"
    "샵샤쇼슈쟈죠쥬챠쵸츄과관광괄귀권궁월원위윈외왕완웅웨웰희의활황화환회획효휘휴"
)


@dataclass(frozen=True, slots=True)
class ShopName:
    """A shop name; ``english`` is empty where the shop writes none."""

    korean: str
    english: str = ""


def split_of(name: str) -> Split:
    """The side of the train/validation division that a whole Korean name falls on."""
    digest = hashlib.blake2b(name.encode(), digest_size=4).digest()
    share = int.from_bytes(digest, "big") / 2**32
    return "validation" if share < VALIDATION_SHARE else "train"


@cache
def shop_names(split: Split) -> tuple[ShopName, ...]:
    """All names of one split in a fixed order; no name is in both splits."""
    names = {name.korean: name for name in _compose() if len(name.korean) <= LONGEST_NAME}
    return tuple(name for name in names.values() if split_of(name.korean) == split)


@cache
def bilingual_names(split: Split) -> tuple[ShopName, ...]:
    """The names of one split that have an English name as well."""
    return tuple(name for name in shop_names(split) if name.english)


@cache
def words() -> tuple[str, ...]:
    """Every Korean word that names and slogans are made of, in a fixed order."""
    slogan_words = [word for slogan in SLOGANS for word in slogan.split()]
    pairs = (*_pairs(_BILINGUAL_PREFIXES), *_pairs(_BILINGUAL_SUFFIXES))
    korean = [*_PREFIXES.split(), *_SUFFIXES.split(), *(pair[0] for pair in pairs), *slogan_words]
    return tuple(dict.fromkeys(korean))


@cache
def english_words() -> tuple[str, ...]:
    """Every English word that names are made of, upper case, in a fixed order."""
    pairs = (*_pairs(_BILINGUAL_PREFIXES), *_pairs(_BILINGUAL_SUFFIXES))
    return tuple(dict.fromkeys(pair[1] for pair in pairs))


@cache
def lexicon_syllables() -> tuple[str, ...]:
    """The Hangul syllables that the words use, sorted."""
    return tuple(sorted({char for word in words() for char in word if is_hangul(char)}))


@cache
def readable_syllables() -> tuple[str, ...]:
    """Every Hangul syllable that has a token of its own, sorted.

    Only KS X 1001 syllables: the lightest font weight has no others.
    """
    regular = [_syllable(i, v, 0) for i in _INITIALS for v in _OPEN_VOWELS]
    regular += [_syllable(i, v, f) for i in _INITIALS for v in _CLOSED_VOWELS for f in _FINALS]
    common = [char for char in regular if len(char.encode("euc_kr")) == 2]
    return tuple(sorted({*common, *_OTHERS, *lexicon_syllables()}))


def readable_characters() -> tuple[str, ...]:
    """Every character the base model is trained to see: Hangul, Latin capitals, digits, symbols."""
    return (*readable_syllables(), *LATIN, *DIGITS, *SYMBOLS)


def is_hangul(char: str) -> bool:
    """Whether ``char`` is one precomposed Hangul syllable."""
    return "가" <= char <= "힣"


def letters_of(syllable: str) -> tuple[int, int, int]:
    """The initial (0-18), vowel (0-20) and final (0-27, 0 for none) of a Hangul syllable."""
    code = ord(syllable) - 0xAC00
    return code // 588, code // 28 % 21, code % 28


def _syllable(initial: int, vowel: int, final: int) -> str:
    return chr(0xAC00 + (initial * 21 + vowel) * 28 + final)


def _pairs(table: str) -> list[tuple[str, str]]:
    entries = [entry.split(" ") for entry in table.split(",")]
    return [(korean, english) for korean, english in entries]


def _compose() -> Iterable[ShopName]:
    prefixes = _pairs(_BILINGUAL_PREFIXES)
    suffixes = _pairs(_BILINGUAL_SUFFIXES)
    for prefix, prefix_english in prefixes:
        for suffix, suffix_english in suffixes:
            english = f"{prefix_english} {suffix_english}"
            fits = len(english) <= LONGEST_ENGLISH
            yield ShopName(prefix + suffix, english if fits else "")
    plain_prefixes = [*_PREFIXES.split(), *(prefix for prefix, _ in prefixes)]
    plain_suffixes = [*_SUFFIXES.split(), *(suffix for suffix, _ in suffixes)]
    known = {prefix + suffix for prefix, _ in prefixes for suffix, _ in suffixes}
    for prefix in plain_prefixes:
        for suffix in plain_suffixes:
            if prefix + suffix not in known:
                yield ShopName(prefix + suffix)
