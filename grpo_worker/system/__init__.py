"""Devices, further processes and random numbers of a run."""
