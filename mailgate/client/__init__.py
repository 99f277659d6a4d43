"""What runs at the user's end: `accat` turns saved replies back into a job's output.

It stands in pipes, so start-up counts: no dataclasses, typing, argparse or email here (4 to 10 ms
each, of the 20 that a run takes). Nouns are plain classes with slots.
"""
