"""The processes that have the frameworks: training, counting, evaluating, looking."""
