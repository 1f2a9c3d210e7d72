"""Loaded at start by a child whose PYTHONPATH names this folder: another day, and folders listed in another order."""

from __future__ import annotations

import os
import time

AHEAD = 40 * 365 * 86400
listdir, scandir, now, now_ns = os.listdir, os.scandir, time.time, time.time_ns


class Reversed:
    """What `os.scandir` gives, backwards."""

    def __init__(self, path=None):
        with scandir(path) as entries:
            self.entries = iter(sorted(entries, key=lambda entry: os.fsencode(entry.name), reverse=True))

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def close(self):
        pass


os.scandir = Reversed
os.listdir = lambda path=None: sorted(listdir(path), reverse=True)
time.time = lambda: now() + AHEAD
time.time_ns = lambda: now_ns() + AHEAD * 10**9
