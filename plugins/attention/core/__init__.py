"""Words, sites, the contract of a mechanism, and the counting of what it costs."""
