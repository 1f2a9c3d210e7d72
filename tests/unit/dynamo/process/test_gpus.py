"""Which worker gets which GPUs."""

from __future__ import annotations

import importlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.process import gpus as devices
from dynamo.process.fatal import Verdict
from dynamo.sdk.graph import Resources, ServiceSpec
from support import nvml


@pytest.fixture
def gpus(monkeypatch):
    """A function that makes this a machine with so many GPUs."""
    monkeypatch.syspath_prepend(nvml.PATH)

    def have(count: int | str) -> None:
        environment = nvml.machine(count) if isinstance(count, int) else {"RECORDED_NVML": count}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        sys.modules.pop("pynvml", None)
        importlib.invalidate_caches()

    yield have
    sys.modules.pop("pynvml", None)


def service(name: str, gpu: str, workers: int = 1, **envs: str) -> ServiceSpec:
    return ServiceSpec(name=name, module="m", qualname=name, workers=workers, resources=Resources(gpu=gpu), envs=envs)


def allocated(*services: ServiceSpec, **environment: str) -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES by worker."""
    warnings: list[str] = []
    places = devices.allocate_gpus(services, environment, warnings.append)
    assert warnings == []
    return {f"{name}:{number}": variables[devices.VISIBLE] for (name, number), variables in places.items()}


def test_whole_devices(gpus):
    """Every worker has devices of its own; a service without a request gets no variable."""
    gpus(4)
    assert allocated(service("A", "0"), service("B", "2"), service("C", "1", 2)) == {
        "B:1": "0,1",
        "C:1": "2",
        "C:2": "3",
    }


def test_fractions_share_a_device(gpus):
    """Large parts first; small ones fill what is left, before another device is begun."""
    gpus(3)
    found = allocated(service("Small", "0.25", 2), service("Half", "0.5"), service("Whole", "1"))
    assert found == {"Whole:1": "0", "Half:1": "1", "Small:1": "1", "Small:2": "1"}


def test_the_bus_order_is_told(gpus):
    """NVML counts by the bus; CUDA is told to do the same, unless the user chose the names."""
    gpus(1)
    (variables,) = devices.allocate_gpus([service("A", "1")], {}, print).values()
    assert variables == {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    (variables,) = devices.allocate_gpus([service("A", "1")], {"CUDA_VISIBLE_DEVICES": "0"}, print).values()
    assert variables == {"CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2,1", {"A:1": "2", "A:2": "1"}),
        ("GPU-00000003, 0", {"A:1": "GPU-00000003", "A:2": "0"}),
        ("3,0,9,1", {"A:1": "3", "A:2": "0"}),
    ],
)
def test_visible_devices_are_respected(gpus, visible, expected):
    """Only what CUDA_VISIBLE_DEVICES names, in its order and by its names, up to the first that is none."""
    gpus(4)
    assert allocated(service("A", "1", 2), CUDA_VISIBLE_DEVICES=visible) == expected


def test_too_few_are_refused_with_the_counts(gpus):
    """What is asked for, by whom, and what is there."""
    gpus(2)
    with pytest.raises(Verdict) as caught:
        allocated(service("Decode", "2", 2), service("Prefill", "0.5"))
    assert str(caught.value) == "the graph asks for 4.5 GPUs (Decode 2 × 2, Prefill 0.5) and 2 can be used: 0, 1"
    with pytest.raises(Verdict, match=r"asks for 2 GPUs \(A 2\) and 1 can be used: 1"):
        allocated(service("A", "2"), CUDA_VISIBLE_DEVICES="1")


@pytest.mark.parametrize(
    ("count", "reason"),
    [(0, "this machine has no GPU"), ("Driver Not Loaded", "NVML cannot be used (Driver Not Loaded)")],
)
def test_without_a_gpu_requests_are_ignored(gpus, count, reason):
    """One warning, however many services ask."""
    gpus(count)
    warnings: list[str] = []
    assert devices.allocate_gpus([service("A", "1"), service("B", "4")], {}, warnings.append) == {}
    assert warnings == [f"GPUs that A, B ask for are not handed out: {reason}"]


def test_without_the_package(monkeypatch):
    """nvidia-ml-py is an extra: without it, one warning."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    warnings: list[str] = []
    assert devices.allocate_gpus([service("A", "1")], {}, warnings.append) == {}
    assert warnings == ["GPUs that A asks for are not handed out: the package nvidia-ml-py is not installed"]


def test_nothing_visible(gpus):
    """An empty list is the user's word that there is none."""
    gpus(2)
    warnings: list[str] = []
    assert devices.allocate_gpus([service("A", "1")], {"CUDA_VISIBLE_DEVICES": ""}, warnings.append) == {}
    assert len(warnings) == 1


def test_it_can_be_turned_off(gpus):
    """By the variable, and for one service by its own `envs`; then NVML is not asked, and nothing is said."""
    gpus(1)
    assert allocated(service("A", "4"), DYN_DISABLE_AUTO_GPU_ALLOCATION="1") == {}
    assert allocated(service("A", "4", CUDA_VISIBLE_DEVICES="0"), service("B", "1")) == {"B:1": "0"}


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["0.1", "0.25", "0.3", "0.5", "0.75", "1", "2", "3"]), st.integers(1, 4)), max_size=6
)


@given(requests=REQUESTS, count=st.integers(1, 8))
def test_no_device_is_promised_twice(requests, count):
    """Whatever is asked for: whole devices have one worker, parts of one never add up to more than it."""
    from fractions import Fraction

    services = [service(f"S{number}", gpu, workers) for number, (gpu, workers) in enumerate(requests)]
    pool = tuple(map(str, range(count)))
    try:
        found = dict(devices._assign_devices(services, pool))
    except Verdict:
        return
    used = dict.fromkeys(pool, Fraction(0))
    for each in services:
        amount = Fraction(each.resources.gpu)
        for number in range(1, each.workers + 1):
            given_ = found[each.name, number]
            assert len(set(given_)) == max(1, int(amount))
            for name in given_:
                used[name] += min(amount, Fraction(1))
    assert max(used.values()) <= 1
