"""The doors: each hands mail to the desk in blocks, and acknowledges it after the receipt."""
