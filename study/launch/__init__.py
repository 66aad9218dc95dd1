"""Where runs are carried out: a folder a launcher, all on the same run folders."""
