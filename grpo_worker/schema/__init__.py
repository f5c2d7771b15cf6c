"""What a run is configured with and what it records: all of the worker that the control plane may import.

``config`` (every field of a run), ``records`` (what a run emits), ``collapse`` (when a run has collapsed), ``errors``.
"""
