"""mailgate: takes jobs by mail, runs them on a cluster, and mails the results back."""
