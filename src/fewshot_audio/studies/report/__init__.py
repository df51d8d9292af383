"""The report of experiments: one self-contained HTML page, and its plots as files."""

from fewshot_audio.studies.report.page import write_report

__all__ = ["write_report"]
