"""The door to a supervisor: one request, one answer or a stream of lines; nobody can block or break the loop."""

from __future__ import annotations

import json
import selectors
import socket

import pytest

from dynamo.process import control_socket


@pytest.fixture
def door(tmp_path):
    """A control socket, its selector, and the requests that came."""
    selector = selectors.DefaultSelector()
    heard: list[tuple[dict, control_socket.Conversation]] = []
    one = control_socket.Control(
        {"XDG_RUNTIME_DIR": str(tmp_path)}, selector, lambda request, to: heard.append((request, to))
    )
    yield one, selector, heard
    one.close()
    assert list(tmp_path.iterdir()) == []


def turn(selector: selectors.BaseSelector, times: int = 4) -> None:
    for _ in range(times):
        for key, _ in selector.select(0.05):
            key.data(selector)


def test_a_request_and_its_answer(door):
    """A line of JSON there, lines back, then the end."""
    one, selector, heard = door
    with control_socket.connect_control(one.path) as client:
        client.sendall(b'{"do": "sta')
        turn(selector)
        assert heard == []
        client.sendall(b'tus"}\n')
        turn(selector)
        ((request, to),) = heard
        assert request == {"do": "status"}
        to.send_line("one")
        to.send_line("two")
        to.end()
        assert client.makefile().read() == "one\ntwo\n"


def test_only_its_user_can_use_it(door):
    """The socket and its folder are the user's alone."""
    one, *_ = door
    assert oct(one.path.stat().st_mode)[-3:] == "600"
    assert oct(one.path.parent.stat().st_mode)[-3:] == "700"


@pytest.mark.parametrize("sent", [b"\n", b"{\n", b"[" * 50_000 + b"\n", b"\xff\xfe\n", b"a" * 70_000, b""])
def test_what_is_no_request_ends_the_conversation(door, sent):
    """No answer, no error in the loop."""
    one, selector, heard = door
    with control_socket.connect_control(one.path) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        turn(selector, 8)
        assert client.recv(10) == b""
    assert heard == []


def test_a_reader_that_does_not_read_is_left(door):
    """What it did not take is dropped with it; `on_close` tells."""
    one, selector, heard = door
    with control_socket.connect_control(one.path) as client:
        client.sendall(b'{"do": "logs"}\n')
        turn(selector)
        to = heard[0][1]
        closed = []
        to.on_close = lambda: closed.append(True)
        for _ in range(100):
            to.send_line("x" * 100_000)
        assert to.closed
        assert closed == [True]
        to.send_line("more")
        to.end()


def test_a_reader_that_leaves(door):
    """Is noticed at the next line."""
    one, selector, heard = door
    with control_socket.connect_control(one.path) as client:
        client.sendall(json.dumps({"do": "logs"}).encode() + b"\n")
        turn(selector)
    turn(selector)
    assert heard[0][1].closed


def test_a_long_path(tmp_path):
    """A runtime folder whose name is longer than an address may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    selector = selectors.DefaultSelector()
    one = control_socket.Control({"XDG_RUNTIME_DIR": str(folder)}, selector, lambda request, to: to.end())
    control_socket.connect_control(one.path).close()
    one.close()
