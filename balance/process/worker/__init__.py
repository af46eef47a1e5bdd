"""A worker process: traffic and nothing else."""
