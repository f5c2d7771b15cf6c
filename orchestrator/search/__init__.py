"""Choose the runs that narrow the stability boundary most, and simulate what a search or a grid would know and cost.

Others use ``search_file`` (the section ``search:`` of a grid file), ``search`` (what is known, and the next runs),
``driver`` (a search on a results database), ``simulation`` (the same without training), ``outlook`` (what a grid will
leave open) and ``study`` (the search as an Optuna sampler and study). Within the room: ``beliefs``, ``study_storage``.
"""
