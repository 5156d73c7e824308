"""The device a benchmark runs on, and how much memory it has to give."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jax

from ialp_jax.artifacts import InputError
from ialp_jax.training.device import USABLE, free_memory

DeviceName = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Machine:
    """Where it runs."""

    device: Any
    kind: str
    memory: float
    description: dict[str, Any]


def open_machine(name: DeviceName, memory: float | None) -> Machine:
    """The device of this name, made the default for all programs.

    Args:
        name: "cpu", "gpu", or "auto" for whatever JAX prefers.
        memory: bytes that may be used; None for most of what is free.

    Raises:
        InputError: if there is no such device.
    """
    if name == "cpu":
        jax.config.update(
            "jax_platforms", "cpu"
        )  # so that nothing is planned for an accelerator that is also there
    try:
        device = jax.devices(None if name == "auto" else name)[0]
    except RuntimeError as error:
        raise InputError(
            f"JAX finds no {name} here ({str(error).splitlines()[0]})", column="--device",
            fix="use --device cpu, or install jax with CUDA (pip install 'jax[cuda12]')",
        ) from error  # fmt: skip
    jax.config.update("jax_default_device", device)
    free = free_memory(device)
    usable = memory or USABLE * free
    description = {
        "platform": device.platform, "device": device.device_kind, "cores": len(os.sched_getaffinity(0)),
        "processor": processor(), "memory_free_gb": round(free / 1e9, 2), "memory_used_gb_at_most": round(usable / 1e9, 2),
        "matmul_precision": jax.config.values["jax_default_matmul_precision"] or "default",
    }  # fmt: skip
    return Machine(device, device.platform, usable, description)


def processor() -> str:
    """The CPU's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
