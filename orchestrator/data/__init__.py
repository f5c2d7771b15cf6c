"""Stored rows out and in: frames, what runs measured, export to files, import of runs made elsewhere.

Others use ``frames`` (every table, with the types of the export), ``measured`` (a few metrics, fast), ``export`` and
``importing``.
"""
