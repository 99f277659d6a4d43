"""What the rooms leave for each other: one SQLite database and the files that are too big for it."""
