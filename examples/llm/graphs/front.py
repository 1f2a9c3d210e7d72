"""Aggregated, with two kinds of process: one in front, and the workers."""

from components.front import Front
from components.worker import VllmWorker

Front.link(VllmWorker)
