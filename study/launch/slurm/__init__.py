"""Runs on a cluster: arrays of jobs for Slurm."""
