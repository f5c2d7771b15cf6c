"""Choose the runs that teach most about the stability boundary, end those that cannot teach any more, and plan.

Others use ``searchfile`` (the ``search:`` section of a grid file), ``searching`` (the search itself), ``outlook`` and
``power`` (what a grid or a search would cost and tell), and ``study`` (the same search as an Optuna study).
"""
