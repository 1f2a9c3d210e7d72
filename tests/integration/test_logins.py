"""Who is let in: NATS by every kind of login, workers by token and by certificate."""

from __future__ import annotations

import base64
import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from dynamo.coordination.discovery import Instance, new_id
from dynamo.rpc.runtime import connect
from dynamo.rpc.server import Dispatcher
from dynamo.sdk.errors import BadRequest, Unauthorized, Unavailable
from integration.authority import Authority
from support.nats import nats_server

nkeys = pytest.importorskip("nkeys")
pytestmark = pytest.mark.nats


async def called(environment: dict[str, str], worker: dict[str, str] | None = None) -> Any:
    """What a call between two processes of this environment gives."""
    async with await connect(worker or environment, 5) as one, await connect(environment, 5) as other:
        dispatcher = Dispatcher()
        dispatcher.add_method("n/Echo/e", "e", lambda request: request)
        serving = await one.transport.serve(dispatcher)
        lease = await one.discovery.register(
            Instance(namespace="n", component="Echo", id=new_id(), address=serving.address, endpoints=("e",))
        )
        try:
            return await (await other.namespace("n").component("Echo").endpoint("e").client()).generate(
                "hi", timeout=1.5
            )
        finally:
            await lease.close()
            await serving.drain(1)


async def test_user_and_password():
    """By name and password; without them, or with wrong ones, it is one line."""
    with nats_server(settings=["authorization { user: ann, password: secret }"]) as server:
        given = {"NATS_SERVER": server.url, "NATS_AUTH_USERNAME": "ann", "NATS_AUTH_PASSWORD": "secret"}
        assert await called(given) == "hi"
        for wrong in ({"NATS_AUTH_PASSWORD": "guess"}, {"NATS_AUTH_USERNAME": ""}):
            with pytest.raises(Unauthorized, match="does not let us in"):
                await connect({**given, **wrong}, 5)


async def test_token_of_the_nats_server():
    """By a token, in the environment or in the address; neither a wrong one nor a right one is shown."""
    with nats_server(settings=["authorization { token: opensesame }"]) as server:
        assert await called({"NATS_SERVER": server.url, "NATS_AUTH_TOKEN": "opensesame"}) == "hi"
        assert await called({"NATS_SERVER": server.url.replace("nats://", "nats://opensesame@")}) == "hi"
        for wrong in ({"NATS_AUTH_TOKEN": "guess-w0rd"}, {}):
            with pytest.raises(Unauthorized, match="does not let us in") as refused:
                await connect({"NATS_SERVER": server.url, **wrong}, 5)
            assert "guess-w0rd" not in refused.value.message
        with pytest.raises(Unauthorized, match="does not let us in") as refused:
            await connect({"NATS_SERVER": server.url.replace("nats://", "nats://guess-w0rd@")}, 5)
        assert "guess-w0rd" not in refused.value.message


async def test_one_server_of_several():
    """Servers of a cluster are separated by commas; one of them is enough."""
    with nats_server() as server:
        assert await called({"NATS_SERVER": f"nats://127.0.0.1:1, {server.url}"}) == "hi"


def key_pair(prefix: int) -> tuple[str, str]:
    """A seed and its public key."""
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return bytes(seed).decode(), nkeys.from_seed(bytearray(seed)).public_key.decode()


async def test_nkey(tmp_path: Path):
    """By a seed, in the environment or in a file."""
    seed, public = key_pair(nkeys.PREFIX_BYTE_USER)
    (tmp_path / "seed").write_text(seed)
    with nats_server(settings=[f"authorization {{ users: [ {{ nkey: {public} }} ] }}"]) as server:
        assert await called({"NATS_SERVER": server.url, "NATS_AUTH_NKEY": seed}) == "hi"
        assert await called({"NATS_SERVER": server.url, "NATS_AUTH_NKEY_FILE": str(tmp_path / "seed")}) == "hi"
        with pytest.raises(Unauthorized):
            await connect({"NATS_SERVER": server.url, "NATS_AUTH_NKEY": key_pair(nkeys.PREFIX_BYTE_USER)[0]}, 5)


def claim(seed: str, subject: str, kind: str, more: dict[str, Any]) -> str:
    """A JWT as NATS wants it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).decode().rstrip("=")

    key = nkeys.from_seed(bytearray(seed.encode()))
    body = {"jti": subject, "iat": 1700000000, "iss": key.public_key.decode(), "name": kind, "sub": subject}
    body["nats"] = {"type": kind, "version": 2, **more}
    text = f"{part(json.dumps({'typ': 'JWT', 'alg': 'ed25519-nkey'}).encode())}.{part(json.dumps(body).encode())}"
    return f"{text}.{part(key.sign(text.encode()))}"


async def test_credentials_file(tmp_path: Path):
    """By a .creds file that an account signed."""
    operator_seed, operator = key_pair(nkeys.PREFIX_BYTE_OPERATOR)
    account_seed, account = key_pair(nkeys.PREFIX_BYTE_ACCOUNT)
    user_seed, user = key_pair(nkeys.PREFIX_BYTE_USER)
    free = {"subs": -1, "data": -1, "payload": -1}
    limits = {**free, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1}
    storage = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    account_claim = claim(operator_seed, account, "account", {"limits": {**limits, **storage}})
    file = tmp_path / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{claim(account_seed, user, 'user', free)}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user_seed}\n------END USER NKEY SEED------\n"
    )
    system = key_pair(nkeys.PREFIX_BYTE_ACCOUNT)[1]
    system_claim = claim(operator_seed, system, "account", {"limits": limits})
    settings = [
        f"operator: {claim(operator_seed, operator, 'operator', {})}",
        f"system_account: {system}",
        "resolver: MEMORY",
        f"resolver_preload: {{ {account}: {account_claim}, {system}: {system_claim} }}",
    ]
    with nats_server(settings=settings) as server:
        assert await called({"NATS_SERVER": server.url, "NATS_AUTH_CREDENTIALS_FILE": str(file)}) == "hi"
        with pytest.raises(Unauthorized):
            await connect({"NATS_SERVER": server.url}, 5)
    with pytest.raises(BadRequest, match="NATS_AUTH_CREDENTIALS_FILE is `/nowhere`: No such file"):
        await connect({"NATS_SERVER": server.url, "NATS_AUTH_CREDENTIALS_FILE": "/nowhere"}, 5)


async def test_tls_of_the_nats_server(tmp_path: Path):
    """The server proves itself, and asks for a certificate; a stranger's authority is not believed."""
    authority = Authority(tmp_path)
    its, ours = authority.sign("server"), authority.sign("client")
    settings = [
        f'tls {{ cert_file: "{its.certificate}", key_file: "{its.key}", ca_file: "{authority.own.certificate}", verify: true }}'
    ]
    with nats_server(settings=settings) as server:
        given = {
            "NATS_SERVER": server.url.replace("nats://", "tls://"),
            "NATS_TLS_CA": str(authority.own.certificate),
            "NATS_TLS_CERT": str(ours.certificate),
            "NATS_TLS_KEY": str(ours.key),
        }
        assert await called(given) == "hi"
        stranger = Authority(tmp_path, "stranger")
        with pytest.raises(Unavailable, match="certificate"):
            await connect({**given, "NATS_TLS_CA": str(stranger.own.certificate)}, 3)
        with pytest.raises(Unavailable):
            await connect({**given, "NATS_TLS_CERT": "", "NATS_TLS_KEY": ""}, 3)
    with pytest.raises(BadRequest, match="NATS_TLS_CA is `/nowhere`"):
        await connect({**given, "NATS_TLS_CA": "/nowhere"}, 3)


def between_workers(authority: Authority, name: str = "graph") -> dict[str, str]:
    """The variables of mutual TLS."""
    signed = authority.sign(name)
    return {
        "DYNAMO_TRANSPORT_TLS_CA": str(authority.own.certificate),
        "DYNAMO_TRANSPORT_TLS_CERT": str(signed.certificate),
        "DYNAMO_TRANSPORT_TLS_KEY": str(signed.key),
    }


async def test_mutual_tls_between_workers(tmp_path: Path):
    """Both ends prove themselves; who has no certificate, or a stranger's, is not talked to."""
    graph, stranger = Authority(tmp_path, "graph"), Authority(tmp_path, "stranger")
    ours, theirs = between_workers(graph), between_workers(stranger)
    with nats_server() as server:
        plain = {"NATS_SERVER": server.url, "DYNAMO_TRANSPORT_TOKEN": "t"}
        assert await called({**plain, **ours}) == "hi"
        assert await called({**plain, **ours, "DYNAMO_TRANSPORT_TLS_NAME": "graph"}) == "hi"
        with pytest.raises(Unavailable, match=r"cannot reach tls://.*another"):
            await called({**plain, **ours, "DYNAMO_TRANSPORT_TLS_NAME": "another"}, {**plain, **ours})
        with pytest.raises(Unavailable, match="certificate"):
            await called({**plain, **theirs}, {**plain, **ours})
        own_authority = {**theirs, "DYNAMO_TRANSPORT_TLS_CA": ours["DYNAMO_TRANSPORT_TLS_CA"]}
        with pytest.raises(Unavailable):
            await called({**plain, **own_authority}, {**plain, **ours})
        with pytest.raises(Unavailable, match="TLS between workers is not set up here"):
            await called(plain, {**plain, **ours})
        with pytest.raises(Unavailable, match="TLS between workers is set up here"):
            await called({**plain, **ours}, plain)
    with pytest.raises(BadRequest, match="_KEY is not set"):
        await connect({**plain, **ours, "DYNAMO_TRANSPORT_TLS_KEY": ""})
    with pytest.raises(BadRequest, match="are of no use"):
        await connect({**plain, **ours, "DYNAMO_TRANSPORT_TLS_KEY": ours["DYNAMO_TRANSPORT_TLS_CA"]})


async def test_the_token_between_workers():
    """Another graph's token is refused by the worker, and the caller is told."""
    for plane in ("tcp", "nats"):
        with nats_server() as server:
            given = {"NATS_SERVER": server.url, "DYN_REQUEST_PLANE": plane}
            assert await called(given) == "hi"
            with pytest.raises(Unauthorized, match="not this graph's"):
                await called({**given, "DYNAMO_TRANSPORT_TOKEN": "a"}, {**given, "DYNAMO_TRANSPORT_TOKEN": "b"})


async def test_planes_that_differ():
    """A caller of one plane cannot reach a worker of the other, and is told why; a plane that is none is refused."""
    with nats_server() as server:
        tcp, nats = ({"NATS_SERVER": server.url, "DYN_REQUEST_PLANE": plane} for plane in ("tcp", "nats"))
        for caller, worker in ((tcp, nats), (nats, tcp)):
            with pytest.raises(Unavailable, match="DYN_REQUEST_PLANE differs"):
                await called(caller, worker)
        with pytest.raises(BadRequest, match="DYN_REQUEST_PLANE is `udp`"):
            await connect({**tcp, "DYN_REQUEST_PLANE": "udp"})


def test_old_tls_is_refused(tmp_path: Path):
    """Nothing below TLS 1.2."""
    from dynamo.rpc.select import mutual_tls

    found = mutual_tls(between_workers(Authority(tmp_path)))
    assert found is not None
    assert found.worker.minimum_version == found.caller.minimum_version == ssl.TLSVersion.TLSv1_2
