# What a site's jobs must do before python starts: source this in the shell from which you launch, since Slurm
# hands that shell's environment on to the job. Keep what your site needs.

# Software modules.
module purge
module load cuda/12.8 gcc/13

# The environment that stalesweep is installed in; on a folder that every compute node sees.
source "$HOME/stalesweep/.venv/bin/activate"

# Compute nodes often have no internet: models and data sets come from a shared cache, filled on the login node.
export HF_HOME="/shared/$USER/huggingface"
export HF_HUB_OFFLINE=1

# One place for results, seen by the login node and by every compute node; see docs/slurm.md.
export STALESWEEP_RUNS="/shared/$USER/stalesweep-runs"
export STALESWEEP_DB="postgresql+psycopg://$USER@db.example.org/stalesweep" # the password stays in ~/.pgpass
