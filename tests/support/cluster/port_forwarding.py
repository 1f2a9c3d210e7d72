"""The API server's end of a port-forward: a WebSocket that carries one port of a pod (v4.channel.k8s.io)."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from typing import Any

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key: str) -> str:
    """The answer to a handshake's key, RFC 6455 section 4.2.2."""
    return base64.b64encode(hashlib.sha1(key.encode() + _ACCEPT).digest()).decode()


def carry(near: Any, out: Any, target: tuple[str, int], port: int) -> None:
    """Frames from and to the client on `near` (a buffered reader) and `out`, bytes from and to the target."""
    numbered = struct.pack("<H", port)
    for channel in (0, 1):
        out.write(_frame(bytes([channel]) + numbered))
    out.flush()
    far = socket.create_connection(target)

    def back() -> None:
        while data := far.recv(65536):
            out.write(_frame(b"\x00" + data))
            out.flush()
        out.write(_frame(b"", 8))
        out.flush()

    thread = threading.Thread(target=back, daemon=True)
    thread.start()
    while True:
        head = near.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            break
        length = head[1] & 127
        if length == 126:
            (length,) = struct.unpack(">H", near.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", near.read(8))
        mask, data = near.read(4), near.read(length)
        plain = bytes(value ^ mask[index % 4] for index, value in enumerate(data))
        if head[0] & 15 == 2:
            far.sendall(plain[1:])
    far.close()


def _frame(data: bytes, opcode: int = 2) -> bytes:
    if len(data) < 126:
        return bytes([128 | opcode, len(data)]) + data
    if len(data) < 65536:
        return bytes([128 | opcode, 126]) + struct.pack(">H", len(data)) + data
    return bytes([128 | opcode, 127]) + struct.pack(">Q", len(data)) + data
