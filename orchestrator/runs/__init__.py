"""What one does with stored runs: show one, read and follow its logs, cancel, remove, clean up.

Others use ``details``, ``logs``, ``cancelling`` and ``removal``, and ``named`` (the runs that a user names, with their
journals brought in).
"""
