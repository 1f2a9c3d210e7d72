"""Calls between services: wire, connections, transports, client, server, deadlines, balancing."""
