"""What the agent touches: GPUs, processes, files, ports."""
