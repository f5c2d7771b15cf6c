"""Policies: a causal language model, its tokenizer, its parameters as one flat vector, and log-probs of tokens.

Others use ``policy``, ``batches`` (the tensors that move through the worker) and, to sample, ``llama``. ``tiny`` makes
the builtin policy; ``packing`` and ``llama`` compute the log-probs of ``log_probs`` faster.
"""
