"""Errors meant for people: one line that names the thing and says what to do."""


class KocrError(Exception):
    """A failure with one clear line for the user; the command line prints it without a traceback.

    ``exit_code``: 1 failed, 2 wrong use, 3 stopped on request, 4 GPU lost.
    """

    exit_code = 1


class UsageError(KocrError):
    """The request itself is wrong: an unknown key, name, path or run id."""

    exit_code = 2


class UnknownKeyError(UsageError):
    """A file has a key that isn't known: a mistake in it, or a newer version wrote it."""


class StoppedError(KocrError):
    """The run left at the user's request and can be resumed."""

    exit_code = 3


class DataGoneError(KocrError):
    """The data set can't be read any more; what was learnt so far is worth keeping."""


class UnfitError(KocrError):
    """A checkpoint's tensors are not those of the model that is trained."""


class GpuLostError(KocrError):
    """The GPU failed, or CUDA does nothing more; a resume checks it before it goes on."""

    exit_code = 4


def one_line(error: KocrError | OSError, place: object = None) -> str:
    """What to tell of an error; a system's names its file, else ``place`` where that is given."""
    if isinstance(error, KocrError) or error.strerror is None:
        return str(error)
    where = error.filename or place
    return f"{where}: {error.strerror}" if where else error.strerror


def first_line(error: BaseException) -> str:
    """The first line of a library's message, for use inside one of ours."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
