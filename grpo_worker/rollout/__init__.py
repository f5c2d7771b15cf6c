"""Rollouts: sample completions, score them, and give them to the learner at a known lag.

``loop`` uses ``pipelines`` (which batch a learner step consumes) and ``sampler`` (the engines, and the processes they
run in); ``train`` uses `pipelines.Fetched`. ``weight_sync`` moves weights to samplers in other processes, and
``advantages`` is a pure function.
"""
