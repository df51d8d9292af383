"""One page that shows what an experiment found: self-contained HTML and its plots."""

from fewshot_audio.studies.report.page import write_report

__all__ = ["write_report"]
