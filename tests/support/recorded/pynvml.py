"""NVML as nvidia-ml-py gives it, played back from RECORDED_NVML: a JSON list of [uuid, name, bytes of memory]; or an error."""

import json
import os


class NVMLError(Exception):
    """What NVML's functions raise."""


_RECORDED = os.environ.get("RECORDED_NVML", "[]")
_open = 0


def nvmlInit():
    global _open
    if not _RECORDED.startswith("["):
        raise NVMLError(_RECORDED)
    _open += 1


def nvmlShutdown():
    global _open
    _open -= 1


def _devices():
    if not _open:
        raise NVMLError("Uninitialized")
    return json.loads(_RECORDED)


def nvmlDeviceGetCount():
    return len(_devices())


def nvmlDeviceGetHandleByIndex(index):
    return _devices()[index]


def nvmlDeviceGetUUID(handle):
    return handle[0]


def nvmlDeviceGetName(handle):
    return handle[1]
