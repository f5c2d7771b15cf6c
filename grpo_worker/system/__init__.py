"""What a run needs from the machine: devices, further processes, random numbers. Knows nothing of policies or tasks.

Others use ``devices``, ``processes`` and ``randomness``; ``preload`` is imported only by the server of processes.
"""
