"""mailgate: takes jobs by mail, runs them on a cluster, and mails the results back."""

__version__ = "0.1.0"
"""The same as in pyproject.toml: a checkout that nobody installed knows its version too."""
