"""Why a scheduler lets a job wait: its words, told apart so far that a person's can stand for them.

They are those of Slurm (squeue(1), "JOB REASON CODES"), Grid Engine (qstat -j, "scheduling info"),
PBS (qstat -f, "comment"), LSF (bjobs -p) and HTCondor (condor_q -better-analyze, HoldReason).
"""

import re

from mailgate.reply.layout import shown

# The first that is found counts: "QOSMaxWallDurationPerJobLimit" is more than a limit.
_KINDS = {
    "held": r"\bjob\s?h[eo]ld|\bheld\b|\bon hold\b|\bhold state\b|hold_?reason|job suspended",
    "never": (
        r"perjob|badconstraints|invalid|partition(?:(?:time|node)limit|config)|notallowed|neversatisfied"
        r"|\bnever\b|can ?not run in any|unsatisfiable|exceeds? .*(?:limit|maximum)"
        r"|did not match any|no (?:machines|hosts?) match"
    ),
    "reserved": r"reservation|reserved for maint|maintenance",
    "nodes": (
        r"reqnodenotavail|nodes required for job are"
        r"|(?:nodes?|hosts?|machines?)[\s_]*(?:is|are|was|were)?[\s_]*"
        r"(?:down|drain|unavail|not ?avail|closed|offline)|unavailablenodes|frontenddown"
    ),
    "queue": r"(?:partition|queue)[^,;]*?(?:down|inactiv|disabled|stopped|closed|not started)",
    "dependency": r"dependenc",
    "later": r"begin_?time|start time|execution[ _]time|time window",
    "licence": r"licen[cs]e",
    "limit": r"limit|quota|\bqos|assoc|max\w*(?:jobs?|cpus?|nodes?|slots?|per)",
    "priority": r"priority",
    "resources": (
        r"resource|insufficient|not enough|not available|\bfull\b|offers? only|no suitable|busy"
        r"|slots?\b|no idle"
    ),
}
_PATTERNS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _KINDS.items())
_NOTHING = frozenset({"", "none", "n/a", "(null)", "waitingforscheduling"})
_LOOKED_AT = 500


def wait_kind(why: str) -> str:
    """Return which sentence stands for a scheduler's words, "" for none."""
    words = shown(why[:_LOOKED_AT]).strip(" ()")
    if words.lower() in _NOTHING:
        return ""
    return next((kind for kind, pattern in _PATTERNS if pattern.search(words)), "other")
