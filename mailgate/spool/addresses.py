"""The addresses that the gateway makes for one job and one person: where a reply finds its job."""

import base64
import hmac
from collections.abc import Collection

from mailgate.model import JobId
from mailgate.spool.database import Site

_PROOF = 10
"""Bytes of the HMAC that a KEY shows: 80 bits, 16 base32 characters."""


def is_ours(site: Site, services: Collection[str], address: str) -> bool:
    """Whether a letter to that address would come back to this gateway."""
    local, _, domain = address.lower().rpartition("@")
    if domain != site.domain:
        return False
    return local.partition("+")[0] == site.local or local in {*services, "postmaster"}


def mailbox(address: str) -> str:
    """Return SQL for an address without its tag, as `Identity.mailbox` has it, of SQL for one."""
    tag, at = f"instr({address}, '+')", f"instr({address}, '@')"
    return (
        f"CASE WHEN {tag} BETWEEN 2 AND {at}"
        f" THEN substr({address}, 1, {tag} - 1) || substr({address}, {at}) ELSE {address} END"
    )


def reply_address(site: Site, secret: bytes, job: JobId, recipient: str) -> str:
    """``jobs+job.ID.KEY@...``: the KEY shows that we gave the address to this recipient."""
    return f"{site.local}+job.{job}.{_key(secret, job, recipient)}@{site.domain}"


def key_fits(secret: bytes, job: str, recipient: str, key: str) -> bool:
    """Tell whether we gave the address with this KEY to that recipient."""
    return hmac.compare_digest(
        _key(secret, job, recipient), key.lower().encode("ascii", "replace").decode()
    )


def _key(secret: bytes, job: str, recipient: str) -> str:
    proof = hmac.digest(secret, f"{job}\0{recipient.lower()}".encode(), "sha256")
    return base64.b32encode(proof[:_PROOF]).decode().lower()
