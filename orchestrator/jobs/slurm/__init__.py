"""Slurm: what it is asked, what it is given to do, and what its answers say about runs.

client      one function a command of Slurm's, each with a time-out; the only module that runs them
limits      how much of an array, and how many jobs, this cluster takes from this user
arrays      runs → job arrays, through submitit
task        what a task of an array executes: ``python -m orchestrator.jobs.slurm.task FOLDER``
standing    what has become of a run, from what its attempts wrote and what Slurm says
"""
