"""Which samples share a packed row, as a pure function of their lengths."""

from collections.abc import Sequence


def pack(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of samples grouped so that no group has more than ``budget`` tokens.

    First-fit decreasing, whose worst case is 11/9 of the least number of groups (Dósa 2007).
    Nothing is ever cut: a sample above the budget has a group of its own. Groups are in the order
    of their first member, and indices within a group rise.
    """
    groups: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        place = next((place for place, free in enumerate(room) if free >= length), None)
        if place is None:
            groups.append([index])
            room.append(budget - length)
        else:
            groups[place].append(index)
            room[place] -= length
    return sorted(sorted(group) for group in groups)
