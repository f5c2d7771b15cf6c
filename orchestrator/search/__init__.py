"""Choose the runs that narrow the stability boundary most, and simulate what a search or a grid would know and cost.

Others use ``search_file`` (the section ``search:`` of a grid file), ``search`` (the next runs), ``knowledge`` (what is
known of a group of runs), ``driver`` (a search on a results database), ``simulation`` (searches and grids without
training, compared), ``outlook`` (what a grid will leave open) and ``study`` (the search as an Optuna sampler and
study). Within the room: ``beliefs``, ``study_storage``.
"""
