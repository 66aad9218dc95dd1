"""What belongs to Zhu et al. 2019 alone: its claims, and its figures."""
