"""Aggregated, with two kinds of process: one in front, and the workers."""

from components.front import Front, WholeWorker

Front.link(WholeWorker)
