"""One of several processes that train together: PORT PROCESSES RANK DEVICES FOLDER SEEDS RUN USER UNTIL.

Writes its numbers to FOLDER/RANK.npz. PORT "slurm" reads the cluster's environment variables instead.
"""

import sys
from pathlib import Path

import jax
import numpy as np

if __name__ == "__main__":
    port, processes, rank, devices, folder, *grid = sys.argv[1:]
    seeds, run, user, until = map(int, grid)
    jax.config.update("jax_num_cpu_devices", int(devices))
    from ialp_jax.training.distributed import DistributedConfig, initialise

    joined = DistributedConfig(f"127.0.0.1:{port}", int(processes), int(rank))
    initialise(DistributedConfig(auto=True) if port == "slurm" else joined)
    from shared_runs import mesh_of, numbers, trained

    assert jax.process_count() == int(processes) and jax.process_index() == int(rank)
    assert jax.device_count() == int(processes) * int(devices)
    found = trained(Path(folder) / "checkpoints", mesh_of(run, user, seeds), seeds, until=until)
    np.savez(Path(folder) / f"{rank}.npz", **numbers(found))
