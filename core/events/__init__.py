"""What a run tells the world: typed records, one JSON object a line, one writer.

Every line carries the schema version ``v``, a sequence number ``seq`` and the wall-clock
``time`` (seconds since 1970). core/event_log.py writes and reads them.
"""

from core.events.base import (
    FINAL_STATES,
    SCHEMA_VERSION,
    Event,
    Remedy,
    Request,
    Scope,
    Setup,
    State,
    Verdict,
)
from core.events.faults import (
    CardTrouble,
    Differed,
    Difference,
    LoaderDied,
    LossSpike,
    NotFinite,
    RanOutOfMemory,
    ResumeRefused,
    RolledBack,
    SaveFailed,
)
from core.events.training import (
    CheckpointSaved,
    Predicted,
    Prediction,
    Step,
    TrainingStarted,
    Validated,
)
from core.events.tuning import (
    CertificateVoided,
    Change,
    Planned,
    ProbeFinished,
    ProbeStarted,
    Tuned,
)
from core.events.worker import (
    DataOpened,
    Finished,
    Log,
    ModelOpened,
    RequestSeen,
    RowSetAside,
    StateChanged,
    WorkerStarted,
)

AnyEvent = (
    WorkerStarted
    | StateChanged
    | DataOpened
    | RowSetAside
    | Planned
    | ProbeStarted
    | ProbeFinished
    | Tuned
    | CertificateVoided
    | ModelOpened
    | TrainingStarted
    | Step
    | RanOutOfMemory
    | Predicted
    | Validated
    | CheckpointSaved
    | RequestSeen
    | Log
    | Finished
    | Differed
    | ResumeRefused
    | NotFinite
    | RolledBack
    | LossSpike
    | CardTrouble
    | LoaderDied
    | SaveFailed
)

__all__ = [
    "FINAL_STATES",
    "SCHEMA_VERSION",
    "AnyEvent",
    "CardTrouble",
    "CertificateVoided",
    "Change",
    "CheckpointSaved",
    "DataOpened",
    "Differed",
    "Difference",
    "Event",
    "Finished",
    "LoaderDied",
    "Log",
    "LossSpike",
    "ModelOpened",
    "NotFinite",
    "Planned",
    "Predicted",
    "Prediction",
    "ProbeFinished",
    "ProbeStarted",
    "RanOutOfMemory",
    "Remedy",
    "Request",
    "RequestSeen",
    "ResumeRefused",
    "RolledBack",
    "RowSetAside",
    "SaveFailed",
    "Scope",
    "Setup",
    "State",
    "StateChanged",
    "Step",
    "TrainingStarted",
    "Tuned",
    "Validated",
    "Verdict",
    "WorkerStarted",
]
