"""Stored rows out and in: frames and series for the laws, export to files, import of runs made elsewhere.

Others use ``frames`` (every table, with the types of the export), ``series`` (a few columns, fast), ``export`` and
``importing``.
"""
