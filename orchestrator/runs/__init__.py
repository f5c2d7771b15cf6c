"""What one does with stored runs: read all that is known of one, follow its log, cancel, remove, clean up.

Others use ``details``, ``logs``, ``cancelling``, ``removal`` and ``cleaning``; each holds one command's work.
"""
