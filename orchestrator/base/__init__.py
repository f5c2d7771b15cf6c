"""What every room needs and that knows no room.

``errors``, ``states`` (of runs and attempts), ``settings``, ``urls`` and ``webhook`` (secrets), ``files`` (written
whole), ``life`` (whether a file's writer is alive), ``filesystems``, ``processes``, ``provenance`` (which code ran),
``words`` (plurals).
"""
