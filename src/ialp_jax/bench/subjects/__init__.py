"""What is measured: workloads by name, their worlds, and the least work each needs."""
