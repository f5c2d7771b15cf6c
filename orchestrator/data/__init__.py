"""Stored rows out and in: frames, what runs measured, export to files, import of runs made elsewhere.

Others use ``frames`` (every table, and the export's files), ``measured`` (a few metrics, fast) and ``importing``.
"""
