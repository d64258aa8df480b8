"""Reading photos that have no label, one batch after another in the order they are given."""

import os
from contextlib import ExitStack

from core.data.images import upright_size
from core.data.schemas import check_text, clean
from core.data.unusable import UnusableError
from core.errors import UsageError
from core.read.evaluate import Tell, tell_notes
from core.read.opening import describe
from core.read.reader import LooksAhead, Photo, Reader, Reply
from core.reading import PhotoReply, Photos, ReadRequest, Told

Looked = list[Photo | str]
_ANY_ANSWER = "-"


def predict(request: ReadRequest, work: Photos, tell: Tell) -> None:
    """Reads the photos and tells each as soon as it's read; one that can't be read says why.

    Raises UsageError for what can't be read with, and for a prompt that can't be asked.
    """
    prompt = clean(work.prompt)
    try:
        check_text(prompt, _ANY_ANSWER)
    except UnusableError as problem:
        raise UsageError(f"--prompt: {problem}") from problem
    described = describe(request)
    for note in described.notes:
        tell(0, len(work.paths), Told(note=note))
    size = described.at_a_time
    batches = [work.paths[start : start + size] for start in range(0, len(work.paths), size)]
    with ExitStack() as opened:
        reader: Reader | None = None
        following = _look(batches[0], prompt) if batches else []
        done = 0
        for place in range(len(batches)):
            looked = following
            following = _look(batches[place + 1], prompt) if place + 1 < len(batches) else []
            if reader is None and any(isinstance(one, Photo) for one in looked):
                reader = opened.enter_context(described.open())
                tell_notes(reader, tell)
            for reply in _read(reader, looked, following):
                told = PhotoReply(
                    photo=done, reply=reply.text, why=reply.why, tokens=reply.tokens, cut=reply.cut
                )
                done += 1
                tell(done, len(work.paths), Told(reply=told))


def _look(paths: tuple[bytes, ...], prompt: str) -> Looked:
    """The photos by their headers, or why one can't be read."""
    found: Looked = []
    for path in map(os.fsdecode, paths):
        try:
            found.append(Photo(path, prompt, upright_size(path), None))
        except UnusableError as problem:
            found.append(str(problem))
    return found


def _read(reader: Reader | None, looked: Looked, following: Looked) -> list[Reply]:
    photos = [one for one in looked if isinstance(one, Photo)]
    if isinstance(reader, LooksAhead):
        reader.look_ahead(photos)
        reader.look_ahead([one for one in following if isinstance(one, Photo)])
    replies = iter(reader.read(photos) if reader is not None and photos else [])
    return [next(replies) if isinstance(one, Photo) else Reply(None, why=one) for one in looked]
