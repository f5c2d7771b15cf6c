"""The suites; one thread for all of them, which numpy and torch must hear of before they are imported.

The bits of a run depend on the number of threads, and so does the speed of a small machine.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
