"""Proxies and private certificates, as the environment and the usual folders name them."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from dynamo_build.errors import RegistryError, UsageError
from dynamo_build.events import ignore
from dynamo_build.model.reference import ImageReference
from dynamo_build.registries.http import HttpRegistry
from dynamo_build.registries.http.route import Routes, authorization
from dynamo_build.seams import Surroundings
from support import handmade
from support.registry import running
from unit.dynamo_build.registries.http import certificates, proxy

HOST = "registry.test:5000"


def client(tmp_path: Path, **environment: str) -> HttpRegistry:
    around = Surroundings(environment=environment, cache=tmp_path, insecure=(HOST,))
    return HttpRegistry(around, wait=lambda _: None)


def pushed(registry: HttpRegistry) -> bool:
    """Whether an image comes back as it was pushed."""
    image, to = handmade.image(), ImageReference.parse(f"{HOST}/team/app:v1")
    registry.push(image, (to,), ignore)
    pulled = registry.pull(to, "linux/amd64")
    return pulled.digest == image.digest and pulled.layers[0].open().read() == image.layers[0].open().read()


def test_plain_http_goes_through_the_proxy(tmp_path: Path) -> None:
    """Every request, in its absolute form."""
    with running() as (host, content), proxy.running({HOST: host}) as (address, seen):
        assert pushed(client(tmp_path, http_proxy=f"http://{address}"))
        assert len(seen) == len(content.requests) and all(f" http://{HOST}/v2/" in line for line in seen)


def test_tls_goes_through_a_tunnel(tmp_path: Path) -> None:
    """The proxy learns the host and nothing else; the certificate is that of the registry."""
    authority, server = certificates.made(tmp_path, "registry.test")
    with running(certificate=str(server)) as (host, content), proxy.running({HOST: host}) as (address, seen):
        around = Surroundings(
            environment={"HTTPS_PROXY": address, "SSL_CERT_FILE": str(authority)}, cache=tmp_path / "cache"
        )
        assert pushed(HttpRegistry(around, wait=lambda _: None))
        assert content.requests and set(seen) == {f"CONNECT {HOST}"}


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_with_a_login(tmp_path: Path, tls: bool) -> None:
    """The login of its URL goes to the proxy; a wrong one is one line without the secret."""
    authority, server = certificates.made(tmp_path, "registry.test")
    with (
        running(certificate=str(server) if tls else "") as (host, _),
        proxy.running({HOST: host}, "me:p@ss") as (address, _),
    ):
        environment = {
            "https_proxy" if tls else "http_proxy": f"http://me:p%40ss@{address}",
            "SSL_CERT_FILE": str(authority),
        }
        around = Surroundings(environment=environment, cache=tmp_path / "cache", insecure=() if tls else (HOST,))
        assert pushed(HttpRegistry(around, wait=lambda _: None))
        wrong = {name: value.replace("p%40ss", "hunter2") for name, value in environment.items()}
        around = Surroundings(environment=wrong, cache=tmp_path / "cache", insecure=() if tls else (HOST,))
        with pytest.raises(RegistryError) as refused:
            pushed(HttpRegistry(around, wait=lambda _: None))
        assert "hunter2" not in refused.value.message and "\n" not in refused.value.message
        assert "407" in refused.value.message


def test_a_proxy_that_is_not_there(tmp_path: Path) -> None:
    """The line names the proxy, not the registry alone."""
    with pytest.raises(RegistryError, match=r"the proxy `127.0.0.1:1` for `registry.test:5000` does not answer"):
        pushed(client(tmp_path, http_proxy="http://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("origin", "listed", "used"),
    [
        ("https://registry.example", "", True),
        ("https://registry.example", "other.example", True),
        ("https://registry.example", "registry.example", False),
        ("https://registry.example", "example", False),
        ("https://registry.example", ".example, x", False),
        ("https://registry.example", "*.example", False),
        ("https://registry.example", "*", False),
        ("https://myregistry.example", "registry.example", True),
        ("https://registry.example:5000", "registry.example:5000", False),
        ("https://registry.example:5000", "registry.example:443", True),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "192.168.0.0/16", True),
        ("https://[fd00::1]", "fd00::/8", False),
        ("https://127.0.0.1:5000", "", False),
        ("http://localhost:5000", "", False),
    ],
)
def test_who_is_asked_directly(origin: str, listed: str, used: bool) -> None:
    """`no_proxy` by name, suffix, port and network; this machine always."""
    routes = Routes(environment={"all_proxy": "http://proxy.example:8080", "no_proxy": listed})
    assert (routes.proxy(origin) is not None) is used


def test_how_a_proxy_is_written() -> None:
    """Without a scheme or a port too; what cannot be spoken to is the user's to mend."""
    found = Routes(environment={"HTTPS_PROXY": "proxy.example"}).proxy("https://registry.example")
    assert found is not None and found.netloc == "proxy.example:3128" and authorization(found) == {}
    found = Routes(environment={"https_proxy": "http://a:b%3A@[fd00::2]:81"}).proxy("https://registry.example")
    assert found is not None and found.netloc == "a:b%3A@[fd00::2]:81"
    assert authorization(found) == {"Proxy-Authorization": "Basic " + base64.b64encode(b"a:b:").decode()}
    with pytest.raises(UsageError, match=r"socks5://proxy\.example` cannot be used"):
        Routes(environment={"all_proxy": "socks5://proxy.example:1080"}).proxy("https://registry.example")


def test_the_certificates_of_one_registry(tmp_path: Path) -> None:
    """`certs.d/HOST:PORT` is for that registry alone, as it is for Docker and Podman."""
    _, server = certificates.made(tmp_path / f"config/containers/certs.d/{HOST}", "registry.test")
    with (
        running(certificate=str(server)) as (host, _),
        proxy.running({HOST: host, "registry.test:5001": host}) as (address, _),
    ):
        environment = {"https_proxy": address, "XDG_CONFIG_HOME": str(tmp_path / "config")}
        around = Surroundings(environment=environment, cache=tmp_path / "cache")
        assert pushed(HttpRegistry(around, wait=lambda _: None))
        with pytest.raises(RegistryError, match=r"certificate of `registry.test:5001` is not trusted"):
            HttpRegistry(around, wait=lambda _: None).resolve(ImageReference.parse("registry.test:5001/team/app:v1"))


def test_a_certificate_that_cannot_be_read(tmp_path: Path) -> None:
    """One line, and what to look at."""
    folder = tmp_path / f"containers/certs.d/{HOST}"
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_text("nonsense")
    around = Surroundings(environment={"XDG_CONFIG_HOME": str(tmp_path)}, cache=tmp_path / "cache")
    with pytest.raises(RegistryError, match=f"a certificate for `{HOST}` cannot be read"):
        HttpRegistry(around).resolve(ImageReference.parse(f"{HOST}/team/app:v1"))
