"""What one does with stored runs: show one, read and follow its logs, cancel, remove, clean up.

Others use ``details``, ``logs``, ``cancelling``, ``removal`` and ``cleaning``; each holds one command's work.
"""
