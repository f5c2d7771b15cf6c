"""The control plane of a sweep: it reads grids, starts jobs, stores what runs measure, and fits the laws.

Twelve rooms, each a package. A room imports only from rooms below it in this list, and none imports torch:

cli      commands: parse, call one function, print
report   what people read: tables, figures, the page
search   choose the next runs; plan; Optuna
runs     what one does with stored runs: show, logs, cancel, remove, clean
jobs     which runs to train, and the processes that train them: local jobs, Slurm, status, doctor
attempt  inside a job: claim a run, train it, record it, stop
data     stored rows out and in: frames, export, import
laws     statistics of collapse, on plain frames
store    the results database: schema, ingest, named reads and writes
rundir   the folder of a run: run.json, journals, logs
grid     a grid file → a sweep of cells and runs
base     errors, states, settings, secrets, files, processes
"""
