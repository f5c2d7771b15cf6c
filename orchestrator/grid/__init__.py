"""A grid file → a sweep of ordered cells and runs, or all of the file's mistakes. Pure: reads no database.

Files top down: ``sweep`` (`load_sweep`, and what it returns), ``fields`` (what a grid file may set), ``mistakes``
(what pydantic refuses, in words and with lines), ``yaml_file`` (YAML with its lines).
"""
