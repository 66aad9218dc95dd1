"""How fast and how large the mechanisms are beside what other libraries offer for the same.

``study bench`` finds these modules through the entry points of the group ``study.benchmarks``.
"""
