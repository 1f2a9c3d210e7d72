"""Processes talking to processes; async only. No HTTP and no user code here."""
