"""What the rooms leave for each other: one SQLite database, and files too big for it."""
