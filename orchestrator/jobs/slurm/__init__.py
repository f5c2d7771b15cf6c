"""Slurm: its commands, the job arrays that we submit, and what has become of their runs.

client      one function for each command of Slurm, with a time-out; the only module that runs them
limits      how many jobs, and how large arrays, this cluster takes from this user
arrays      runs → job arrays, through submitit
task        what a task of an array executes: ``python -m orchestrator.jobs.slurm.task FOLDER``
standing    what has become of a run, judged from the database and from Slurm's answers
"""
