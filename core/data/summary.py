"""What a file of rows holds, for a form that names it; needs no torch.

``python -m core.data.summary ROWS SUMMARY [ROOT]`` reads a JSONL file, whose photos may not lead
out of the folder ROOT, and writes one JSON object.
"""

import json
import sys
from pathlib import Path

from core.data.dataset import SignRows
from core.data.survey import open_rows
from core.errors import KocrError
from core.run_dir import home
from core.visible_text import visible


def summary(rows: SignRows) -> dict[str, object]:
    """Rows kept and set aside, the first of the latter, and the largest photo (width, height)."""
    first = rows.set_aside[0] if rows.set_aside else None
    largest = int(rows.sizes.prod(axis=1).argmax())
    return {
        "kept": len(rows),
        "set_aside": len(rows.set_aside),
        "largest": rows.size(largest),
        "first_line": first.line if first else None,
        "first_reason": first.sentence if first else None,
    }


def main(arguments: list[str]) -> int:
    """Surveys a file; progress goes to standard output, an error is one line."""

    def tell(done: int, total: int) -> None:
        print(done, total, "photos", flush=True)

    try:
        root = arguments[2] if len(arguments) > 2 else None
        rows = open_rows(Path(arguments[0]), "set-aside", home() / "cache", tell, root=root)
    except KocrError as error:
        print(visible(str(error)), file=sys.stderr)
        return error.exit_code
    Path(arguments[1]).write_text(json.dumps(summary(rows)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
