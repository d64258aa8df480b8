"""The same photo, nearly the same or the same shop twice; worst across train and validation."""

import json
from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

from core.data.audit.labels import finding
from core.data.audit.near import near_pairs
from core.data.audit.report import Finding
from core.data.audit.rows import AuditRow
from core.data.photos import PhotoFacts
from core.evaluate.text import normalize

NEAR = 4
Group = list[AuditRow]


def find(rows: Sequence[AuditRow], facts: Sequence[PhotoFacts]) -> list[Finding]:
    """Findings on rows and the facts of their photos, in the same order."""
    by_photo = _grouped(rows, [fact.sha256 for fact in facts])
    repeated = [group for group in by_photo.values() if len(group) > 1]
    found = [
        finding("failure", "photo-leak", _leaks(repeated)),
        finding("failure", "conflicting-answers", _conflicts(repeated)),
        finding("warning", "repeated-photo", _repeats(repeated)),
        *_near(by_photo, {fact.sha256: fact.phash for fact in facts}),
        finding("failure", "place-leak", _leaks(_places(rows))),
        finding("info", "name-on-both-sides", _leaks(_names(rows))),
    ]
    return [each for each in found if each.count]


def _grouped(rows: Sequence[AuditRow], keys: Sequence[Hashable]) -> dict[Hashable, Group]:
    groups: dict[Hashable, Group] = defaultdict(list)
    for row, key in zip(rows, keys, strict=True):
        groups[key].append(row)
    return groups


def _leaks(groups: Sequence[Group]) -> list[str]:
    """Validation rows of groups that have training rows too, each beside one of those."""
    told = []
    for group in groups:
        trained = next((row for row in group if not row.validation), None)
        if trained is not None:
            told += [f"{row.told} = {trained.told}" for row in group if row.validation]
    return told


def _conflicts(groups: Sequence[Group]) -> list[str]:
    told = []
    for group in groups:
        first = group[0]
        other = next((row for row in group if _name(row) != _name(first)), None)
        if other is not None:
            told.append(f"{first.told} ≠ {other.told}")
    return told


def _repeats(groups: Sequence[Group]) -> list[str]:
    told = []
    for group in groups:
        for side in (False, True):
            same = [row for row in group if row.validation is side]
            told += [f"{row.told} = {same[0].place}" for row in same[1:]]
    return told


def _near(by_photo: dict[Hashable, Group], hashes: dict[str, int]) -> list[Finding]:
    """Photos that look the same but are other files, as pairs of groups of files."""
    by_hash: dict[int, list[Group]] = defaultdict(list)
    for sha256, group in by_photo.items():
        by_hash[hashes[str(sha256)]].append(group)
    values = np.array(list(by_hash), dtype=np.int64).view(np.uint64)
    groups = list(by_hash.values())
    pairs = [(files[0], group) for files in groups for group in files[1:]]
    pairs += [(groups[a][0], groups[b][0]) for a, b in near_pairs(values, NEAR).tolist()]
    across: list[str] = []
    within: list[str] = []
    for first, second in pairs:
        left, right = first[0], second[0]
        sides = {row.validation for row in (*first, *second)}
        (across if len(sides) > 1 else within).append(f"{left.told} ≈ {right.told}")
    return [
        finding("warning", "near-photo-leak", across),
        finding("info", "near-photo", within),
    ]


def _places(rows: Sequence[AuditRow]) -> list[Group]:
    placed = [row for row in rows if row.location]
    keys = [
        (_name(row), json.dumps(row.location, sort_keys=True, ensure_ascii=False)) for row in placed
    ]
    return list(_grouped(placed, keys).values())


def _names(rows: Sequence[AuditRow]) -> list[Group]:
    return list(_grouped(rows, [_name(row) for row in rows]).values())


def _name(row: AuditRow) -> str:
    return normalize(row.answer) or row.answer
