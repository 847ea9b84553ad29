"""Hyper-parameter searches with Optuna: storage, workers, and what is picked in the end."""
