"""Reading the mail that waits in the spool, in processes that may stall or die."""
