"""How a worker ends, and what it says then."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from core.errors import GpuLostError, KocrError, StoppedError, first_line
from core.event_log import EventWriter
from core.events import Finished, State
from core.run_dir import RunDir
from core.train.control import AbortedError
from core.train.run_folder_watch import RunFolderWatch
from core.train.signals import LEFT_AT_ONCE, StopSignals
from core.visible_text import visible

# ``end_at_once`` of a worker: it takes why, and the exit code.
EndNow = Callable[[str, int], NoReturn]


def ended(
    run: RunDir, folder: RunFolderWatch, end_now: EndNow, work: Callable[[], Finished]
) -> Finished:
    """Runs all phases and turns how they ended into the run's last word."""
    try:
        return work()
    except StoppedError as end:
        kept = run.newest_step()
        said = f"{end}; {_kept_words(kept)}; `kocr-tui resume {run.id}` goes on"
        return Finished(
            state="stopped", exit_code=end.exit_code, message=said, step=kept, asked="stop"
        )
    except AbortedError as end:
        return Finished(state="aborted", exit_code=end.exit_code, message=str(end), asked="abort")
    except GpuLostError as end:
        if end.__cause__ is not None:
            traceback.print_exception(end.__cause__)
        # Letting go of what is on a lost card can hang or crash, so nothing is let go.
        end_now(str(end), end.exit_code)
    except KocrError as end:
        return _finished("failed", end.exit_code, str(end))
    except Exception as error:
        # Whatever it is, the run must say that it ended and where to look.
        if not folder.is_gone():
            print(*map(visible, traceback.format_exc().splitlines()), sep="\n", file=sys.stderr)
        what = f"{type(error).__name__}: {first_line(error)}; more in {run.log_file}"
        return _finished("failed", 1, what)


def leave_at_once(run: RunDir, events: EventWriter, signal: str) -> None:
    """The last word on a second signal, written while the main thread may be anywhere."""
    kept = run.newest_step()
    said = f"left at once on a second signal ({signal}); {_kept_words(kept)}"
    events.write(Finished(state="aborted", exit_code=LEFT_AT_ONCE, message=said, step=kept))


def end_at_once(signals: StopSignals, events: EventWriter, why: str, exit_code: int) -> NoReturn:
    """Ends the process from any thread, while the main one may wait for what is no more."""
    signals.end(exit_code)
    events.write(_finished("failed", exit_code, why))
    events.close()
    sys.stderr.flush()
    os._exit(exit_code)


def end_without_folder(end_now: EndNow, why: str) -> NoReturn:
    """Called from any thread; the log that standard error goes to may be gone, too."""
    print(visible(why), file=sys.stderr, flush=True)
    end_now(why, 1)


def _kept_words(step: int) -> str:
    return f"checkpoint {step} is kept" if step else "nothing to keep yet"


def _finished(state: State, exit_code: int, message: str) -> Finished:
    return Finished(state=state, exit_code=exit_code, message=message)
