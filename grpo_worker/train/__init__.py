"""The learner: objective, corrections for staleness, optimizers, what a learner step and a rollout cycle measure.

Others use ``learner``, ``sharded`` (a learner on several ranks), ``cycle`` (what a weight sync records) and
``checkpoint``; ``objective`` and ``corrections`` are pure tensor functions.
"""
