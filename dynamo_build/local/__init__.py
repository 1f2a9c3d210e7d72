"""Graphs on this machine: running ones, reload, the dashboard."""
