"""Where runs are carried out: one file a launcher, all on the same run folder."""
