"""What a process that lasts for months sets once, when all that it needs is imported."""

import gc

# The collector is for cycles, of which a job leaves next to none: each round over what a busy
# gateway holds (its plans, its statements, its tasks) frees nothing. Python's own are 700, 10, 10.
_NEW, _YOUNG, _OLD = 20_000, 20, 20


def settle() -> None:
    """Have the garbage collector leave alone what is there now, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW, _YOUNG, _OLD)
