"""What fairseq imports of a ``--user-dir``: each module of this folder."""
