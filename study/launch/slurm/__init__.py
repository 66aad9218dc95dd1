"""Runs on a cluster: arrays of jobs submitted through submitit."""
