"""Inside a job: claim a run, train it, write its records, stop when asked. One execution of a run is an attempt.

Others use ``job`` (a share of runs, and what a job does with it), ``share`` (how a launcher hands out further runs),
``stop`` (signals and time limits), and ``notice`` (tell a webhook that a sweep has ended).
"""
