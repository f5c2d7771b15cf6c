"""Decide which runs of a sweep to train, and start the processes that train them: local jobs or Slurm arrays.

Others use ``launch`` (claim runs for jobs, watch them), ``local`` and ``slurm`` (the executors), ``status`` (how far a
sweep is), ``estimate`` (how long it will take), and ``doctor`` (what this machine and the cluster offer).
"""
