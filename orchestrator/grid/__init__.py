"""A grid file → a sweep of ordered cells and runs, or all of the file's mistakes. Pure: reads no database.

Others use ``sweep`` (``load_sweep`` and what it returns), ``fields`` (what a grid file may set) and ``yaml_file`` (YAML
with line numbers, and mistakes that name the line).
"""
