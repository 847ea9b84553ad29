"""Plain data to tables, figures and the page; nothing here computes a statistic that decides."""

from tadsr.report.html import build_report, main_tables_text

__all__ = ["build_report", "main_tables_text"]
