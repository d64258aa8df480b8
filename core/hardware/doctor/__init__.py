"""What this box can do, what is wrong with it, and what to type; torch runs in child processes."""

from core.hardware.doctor.examination import examine
from core.hardware.doctor.finding import Finding

__all__ = ["Finding", "examine"]
