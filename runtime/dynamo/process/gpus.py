"""Assignment of GPUs to workers: counted by NVML, given whole or in fractions, passed by CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dynamo.process.fatal import Verdict
from dynamo.sdk.graph import ServiceSpec

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"
SWITCH = "DYN_DISABLE_AUTO_GPU_ALLOCATION"
Places = Mapping[tuple[str, int], Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A GPU as NVML knows it; `index` counts in the order of the PCI bus."""

    index: int
    uuid: str


class NoDevices(Exception):
    """There is nothing to hand out; the text says why."""


def allocate_gpus(
    services: Sequence[ServiceSpec], environment: Mapping[str, str], warn: Callable[[str], None]
) -> Places:
    """The variables that each worker (service, number) gets. Raises Verdict when there are too few GPUs.

    Without NVML or without a GPU the requests are ignored, with one warning. `DYN_DISABLE_AUTO_GPU_ALLOCATION` turns
    this off, and a service whose `envs` say CUDA_VISIBLE_DEVICES is left alone.
    """
    wanted = [service for service in services if _parse_amount(service) and VISIBLE not in service.envs]
    if not wanted or environment.get(SWITCH, "").strip().lower() in ("1", "true", "yes", "on"):
        return {}
    try:
        pool = select_visible(list_devices(), environment)
    except NoDevices as error:
        names = ", ".join(service.name for service in wanted)
        warn(f"GPUs that {names} ask{'s' if len(wanted) == 1 else ''} for are not handed out: {error}")
        return {}
    # NVML counts by the bus, CUDA by speed unless it is told to.
    order = {} if VISIBLE in environment else {ORDER: "PCI_BUS_ID"}
    return {place: {VISIBLE: ",".join(devices), **order} for place, devices in _assign_devices(wanted, pool)}


def list_devices() -> tuple[Device, ...]:
    """The GPUs of this machine. Raises NoDevices."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise NoDevices("the package nvidia-ml-py is not installed") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise NoDevices(f"NVML cannot be used ({error})") from error
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        found = tuple(
            Device(index=index, uuid=str(nvml.nvmlDeviceGetUUID(handle))) for index, handle in enumerate(handles)
        )
    except nvml.NVMLError as error:
        raise NoDevices(f"NVML cannot be asked ({error})") from error
    finally:
        nvml.nvmlShutdown()
    if not found:
        raise NoDevices("this machine has no GPU")
    return found


def select_visible(devices: Sequence[Device], environment: Mapping[str, str]) -> tuple[str, ...]:
    """What CUDA_VISIBLE_DEVICES leaves of them, in its order, as it names them. Raises NoDevices when it leaves none.

    As CUDA reads it: a list of indexes or (beginnings of) UUIDs that ends at the first name of no device.
    """
    if VISIBLE not in environment:
        return tuple(str(device.index) for device in devices)
    found: list[str] = []
    for name in (part.strip() for part in environment[VISIBLE].split(",")):
        known = name.isdigit() and int(name) < len(devices)
        begun = name.startswith("GPU-") and sum(device.uuid.startswith(name) for device in devices) == 1
        if not (known or begun or name.startswith("MIG-")) or name in found:
            break
        found.append(name)
    if not found:
        raise NoDevices(f"{VISIBLE} is `{environment[VISIBLE]}`, which leaves none")
    return tuple(found)


def _parse_amount(service: ServiceSpec) -> Fraction:
    return Fraction(service.resources.gpu or "0")


def _assign_devices(
    services: Sequence[ServiceSpec], pool: Sequence[str]
) -> Iterator[tuple[tuple[str, int], tuple[str, ...]]]:
    left = dict.fromkeys(pool, Fraction(1))
    whole = [service for service in services if _parse_amount(service) >= 1]
    # Large parts first: small ones fill what is left of a device.
    parts = sorted((service for service in services if _parse_amount(service) < 1), key=_parse_amount, reverse=True)
    for service in (*whole, *parts):
        amount = _parse_amount(service)
        for number in range(1, service.workers + 1):
            if amount >= 1:
                chosen = tuple(name for name, free in left.items() if free == 1)[: int(amount)]
                enough = len(chosen) == amount
            else:
                fitting = [name for name, free in left.items() if free >= amount]
                chosen = tuple(sorted(fitting, key=lambda name: left[name])[:1])
                enough = bool(chosen)
            if not enough:
                raise _describe_shortage(services, pool)
            for name in chosen:
                left[name] -= min(amount, Fraction(1))
            yield (service.name, number), chosen


def _describe_shortage(services: Sequence[ServiceSpec], pool: Sequence[str]) -> Verdict:
    total = sum(_parse_amount(service) * service.workers for service in services)
    asked = ", ".join(
        f"{service.name} {f'{service.workers} × ' if service.workers > 1 else ''}{service.resources.gpu}"
        for service in services
    )
    there = f"{len(pool)} can be used" if len(pool) != 1 else "1 can be used"
    return Verdict(
        f"the graph asks for {float(total):g} GPU{'s' if total != 1 else ''} ({asked}) and {there}: {', '.join(pool)}",
        [
            "Ask for fewer with --SERVICE.ServiceArgs.resources.gpu or .workers.",
            f"{SWITCH}=1 starts them all without a choice of devices.",
        ],
    )
