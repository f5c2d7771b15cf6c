"""Policies: a causal language model, its tokenizer, its parameters as one flat vector, and log-probs of tokens.

Others use ``policy``, ``tiny`` (the builtin policy), ``batches`` (the tensors that move through the worker) and
``log_probs``; ``packing`` and ``llama`` are faster ways to the same log-probs.
"""
