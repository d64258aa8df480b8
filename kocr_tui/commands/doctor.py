"""``kocr-tui doctor``: what this box can do, what is wrong, what to type."""

import argparse
import json

from core.hardware.doctor import examine
from core.run_dir import runs_folder
from kocr_tui.plain import report
from kocr_tui.plain.doctor_report import findings_text


def run(options: argparse.Namespace) -> int:
    """Prints the findings; 1 if something is wrong that stops training."""
    findings = examine(runs_folder(options.runs))
    if options.json:
        # In ASCII, since a locale that can't show more is one of the findings.
        print(json.dumps([report.plain(finding) for finding in findings]))
    else:
        print(findings_text(findings))
    return 1 if any(finding.state == "failure" for finding in findings) else 0
