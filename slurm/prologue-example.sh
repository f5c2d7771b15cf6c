# Source this in the shell from which you launch: Slurm passes that shell's environment on to the
# jobs. Keep the lines that your site needs.

# Software modules.
module purge
module load cuda/12.8 gcc/13

# The Python environment of stalesweep, in a folder that every compute node sees.
source "$HOME/stalesweep/.venv/bin/activate"

# Compute nodes often have no internet. Fill this shared cache of models and data sets on the
# login node.
export HF_HOME="/shared/$USER/huggingface"
export HF_HUB_OFFLINE=1

# Results, in a folder that the login node and every compute node see (docs/slurm.md).
export STALESWEEP_RUNS="/shared/$USER/stalesweep-runs"
# The password stays in ~/.pgpass.
export STALESWEEP_DB="postgresql+psycopg://$USER@db.example.org/stalesweep"
