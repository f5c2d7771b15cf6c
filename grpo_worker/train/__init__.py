"""The learner: one learner step, its objective, corrections for staleness, optimizers, diagnostics and checkpoints.

``loop`` uses ``learner``, ``sharded`` (a learner on several GPUs), ``cycle`` (gathers what a `SyncRecord` reports) and
``checkpoint``. ``objective``, ``corrections`` and ``diagnostics`` are pure functions of tensors.
"""
