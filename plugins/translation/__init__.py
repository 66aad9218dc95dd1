"""Machine translation with fairseq; also usable alone as ``fairseq-train --user-dir``."""
