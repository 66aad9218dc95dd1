"""From run folders to tables and figures. Reads files; trains nothing."""
