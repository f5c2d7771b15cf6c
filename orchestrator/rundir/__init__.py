"""The folder of a run: run.json says whose it is, a journal an attempt holds what was measured, a log what happened.

Others use ``folder`` (make, read and claim a run's folder), ``journal`` (read one) and ``writing`` (append to one).
"""
