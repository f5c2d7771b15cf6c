"""The settings of a run and the records that it emits: the part of the worker that the control plane may import.

Others use ``config`` (every setting of a run), ``records`` (what a run emits), ``collapse`` (the detectors that decide
whether a run has collapsed) and ``errors``. Nothing here imports torch.
"""
