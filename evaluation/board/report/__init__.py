"""The leaderboard as one HTML file that needs no other: tables, intervals, overlays and curves over time."""

from vosbench.evaluation.board.report.page import html

__all__ = ["html"]
