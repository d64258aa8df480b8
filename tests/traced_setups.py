"""The setups whose memory is traced and then taken for real, on the CPU and on cards."""

from typing import Any

from training import ANSWERS

from core.train.setup import Precision

NF4 = Precision("nf4", "bf16")
SIZES = [size for _answer, size in ANSWERS]
ANSWER = "원마트 (ONE MART)"
SETUPS: dict[str, dict[str, Any]] = {
    "single": {"sizes": SIZES[:1]},
    "packed": {},
    "long": {"sizes": SIZES * 6},
    "rank 32": {"rank": 32},
    "attention alone": {"targets": "attention"},
    "merger": {"targets": "language+merger"},
    "everything": {"targets": "all", "rank": 8},
    "everything, recomputed": {"targets": "all", "checkpointing": "all"},
    "recomputed": {"checkpointing": "all", "sizes": SIZES * 3},
    "every second layer": {"checkpointing": 2, "sizes": SIZES * 3},
    "dropout": {"dropout": 0.1, "checkpointing": "all"},
    "4 bits": {"precision": NF4},
    "4 bits, everything": {"precision": NF4, "targets": "all"},
}
