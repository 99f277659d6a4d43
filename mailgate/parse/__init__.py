"""Parse: the bytes of a mail in, values out. Pure: no clock, nothing read but the given file."""
