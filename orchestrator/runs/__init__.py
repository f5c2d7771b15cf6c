"""What one does with stored runs: show one, read and follow its logs, cancel, remove, clean up.

Others use ``details``, ``logs``, ``cancelling``, ``retrying``, ``removal`` and ``cleaning``, each the work of one
command, and ``named`` (the runs that a user names, with their journals brought in).
"""
