"""Sample completions, score them, and hand them to the learner with a known lag; move weights to the sampler.

Others use ``pipelines`` (the ways in which rollouts and learner steps interleave), ``sampler`` (the engines),
``weight_sync`` and ``advantages``.
"""
