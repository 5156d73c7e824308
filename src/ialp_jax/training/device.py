"""Settings of the device runtime that every training command wants."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.stages import Compiled

_COMPILED: list[float] = []
CROWDED = 0.5  # of the mappings a process may have: running what was compiled takes more of them
COMPILER_LEVEL = (
    "xla_backend_optimization_level"  # XLA's own is 3; at 2 programs are as fast, and there a fifth sooner
)
USABLE = 0.8  # of the memory that is free: allocators round up, and others live here too


@dataclass(frozen=True)
class Memory:
    """Bytes, from the compiled program itself. Outputs that reuse a given-up argument's buffer are not counted twice."""

    temporary: int
    arguments: int
    outputs: int

    @property
    def total(self) -> int:
        """At the height of a call."""
        return self.temporary + self.arguments + self.outputs


def prepare_device(a_device_per_core: bool = False) -> None:
    """Turns on the persistent compilation cache, so that a second run of the same program does not compile again.

    The folder is JAX_COMPILATION_CACHE_DIR if set, else ~/.cache/ialp_jax/compiled.

    Args:
        a_device_per_core: see `split_cpu`.
    """
    if a_device_per_core:
        split_cpu()
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(Path.home() / ".cache" / "ialp_jax" / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def split_cpu() -> None:
    """Makes every core of a CPU a device (as many as NPROC says, if set), before JAX has looked for devices.

    Runs side by side use the cores better than one program whose small operations are each cut in pieces
    (docs/performance.md). Whoever has said already how many devices there are has the last word.
    """
    said = jax.config.values["jax_num_cpu_devices"] > 0
    if not said and "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        cores = int(os.environ.get("NPROC", len(os.sched_getaffinity(0))))
        jax.config.update("jax_num_cpu_devices", cores)


def compiler_options() -> dict[str, Any] | None:
    """What XLA is told of the programs of a study, most of which run for seconds: on a CPU, not to try its hardest.

    XLA_FLAGS has the last word. None, its own settings, on accelerators.
    """
    if jax.default_backend() != "cpu":
        return None
    said = re.findall(rf"--{COMPILER_LEVEL}=(\d+)", os.environ.get("XLA_FLAGS", ""))
    return {COMPILER_LEVEL: int(said[-1]) if said else 2}


def compile_seconds() -> float:
    """Seconds that this process has spent compiling for the device, all programs together, since the first call."""
    if not _COMPILED:
        _COMPILED.append(0.0)
        jax.monitoring.register_event_duration_secs_listener(_note_compilation)
    return sum(_COMPILED)


def _note_compilation(event: str, duration_secs: float, **_: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        _COMPILED[0] += duration_secs


def memory_of(call: Compiled) -> Memory:
    """The executable's own figures."""
    analysis = call.memory_analysis()
    if analysis is None:
        return Memory(0, 0, 0)
    outputs = max(analysis.output_size_in_bytes - analysis.alias_size_in_bytes, 0)
    return Memory(analysis.temp_size_in_bytes, analysis.argument_size_in_bytes, outputs)


def free_memory(device: Any) -> float:
    """Bytes that programs on the device may still take."""
    if device.platform == "cpu":
        return float(_meminfo().get("MemAvailable", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    found = device.memory_stats() or {}
    return float(found.get("bytes_limit", 16e9) - found.get("bytes_in_use", 0))


def sharing(devices: Sequence[Any]) -> int:
    """How many of these devices live in one memory: all of a CPU's."""
    return len(devices) if devices[0].platform == "cpu" else 1


def crowded(share: float | None = None) -> bool:
    """Whether this process has so many memory mappings that it should let go of programs before it compiles more.

    More than `share` of those it may have, `CROWDED` if None; never where the system does not tell.

    XLA compiles a CPU program to hundreds of small pieces, each mapped apart: 1,000 to 1,600 mappings for a training
    program. Beyond Linux's limit (vm.max_map_count, usually 65,530) it cannot compile and ends the process.
    """
    held, limit = Path("/proc/self/maps"), Path("/proc/sys/vm/max_map_count")
    if not (held.exists() and limit.exists()):
        return False
    with held.open("rb") as lines:
        return sum(1 for _ in lines) > (share or CROWDED) * int(limit.read_text())


def _meminfo() -> dict[str, int]:
    path = Path("/proc/meminfo")
    if not path.exists():
        return {}
    lines = (line.split(":") for line in path.read_text().splitlines())
    return {name: 1024 * int(value.split()[0]) for name, value in lines}
