"""Decide which runs of a sweep to train, and start the processes that train them: local jobs or Slurm arrays.

Others use ``training`` (choose, prepare, train and watch the runs of a sweep), ``local`` and ``slurm`` (the
executors), ``collecting`` (bring in journals, and say so), ``status`` (how far a sweep is), ``estimate`` (how long it
will take), and ``doctor`` (what this machine and the cluster offer).
"""
