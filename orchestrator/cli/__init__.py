"""The command line: each command parses its options, calls one function of another room and prints.

Only this room knows typer and exit codes. ``app`` holds the application; every other module holds one or a few
commands, ``options`` and ``output`` what they share. Nothing imports from here.
"""
