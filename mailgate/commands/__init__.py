"""What a mail can ask for: one file each, a plain synchronous function in one transaction."""
