"""Who may write to what: the house's addresses, and what is decided about a message at the door."""

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mailgate import said
from mailgate.config import Config
from mailgate.desk.verdict import Place, Purpose, Verdict
from mailgate.errors import (
    Apart,
    Automatic,
    MailgateError,
    NoSpace,
    NotAllowed,
    Refusal,
    TooBig,
    Transient,
    UnknownRecipient,
)
from mailgate.model import Envelope, How, Identity, Vouched
from mailgate.parse.automatic import MAX_HOPS, is_going_in_circles, judge
from mailgate.parse.automatic import Automatic as Automatically
from mailgate.parse.header import Header
from mailgate.parse.origin import origin
from mailgate.parse.sender import sender, vouch
from mailgate.saying import Saying
from mailgate.services import Service
from mailgate.settings.tree import Unknown
from mailgate.spool import confirmations, files, quotas, returned
from mailgate.spool.addresses import is_ours, key_fits
from mailgate.spool.database import Site, View
from mailgate.spool.mail import Room
from mailgate.spool.store import Folder
from mailgate.spool.tables import Errand

OWN = "jobs"
"""The recipient of commands at the gateway's own address, however that is spelled."""

# Strangers may write to the postmaster; so many unread mails, of so many bytes each, are enough.
POSTMASTER_MAILS = 1000
POSTMASTER_SIZE = 1 << 20
# A word, and the letter that asked for it, in whatever a mail program makes of that.
CONFIRMATION_SIZE = 1 << 20
# Commands to a job's own address, with a quoted letter of ours, from whom has used up his quota.
COMMANDS_SIZE = 64 << 10

# A job's reply address, below the gateway's own.
_REPLY = re.compile(r"job\.[a-z][a-z2-7]{11}\.[a-z2-7]{16}")


class Desk:
    """Knows the house's addresses and who may use what."""

    def __init__(
        self,
        config: Config,
        services: Mapping[str, Service],
        folder: Folder,
        view: Callable[[], View],
    ) -> None:
        self.config = config
        self.services = services
        self.folder = folder
        self.site = Site.of(config.gateway.address)
        self.terms = confirmations.Terms.of(config)
        self._view = view
        self._free_at = 0.0
        self._free = 0
        self._secret: bytes | None = None

    # --- the envelope -----------------------------------------------------------------------------

    def place(self, envelope: Envelope, address: str) -> Place:
        """Return what ``address`` is for, if this envelope may write to it.

        Raises
        ------
        UnknownRecipient, NotAllowed, Automatic, Transient
            It may not; the sentence says why.
        """
        local, at, domain = address.lower().rpartition("@")
        if not at and domain == "postmaster":
            return self._postmaster()
        if domain != self.site.domain:
            message = f"{address} is not an address of this gateway"
            raise UnknownRecipient(message)
        if local == "postmaster":
            return self._postmaster()
        own, plus, detail = local.partition("+")
        if own == self.site.local and plus and detail.startswith("bounce."):
            return self._returned(address, detail.removeprefix("bounce."))
        if own == self.site.local and plus and detail.startswith("confirm."):
            return self._confirmation(envelope, address, detail.removeprefix("confirm."))
        if own == self.site.local and (not plus or detail.startswith("job.")):
            return self._commands(envelope, address, detail)
        return self._service(envelope, address, detail if own == self.site.local else local)

    def _service(self, envelope: Envelope, address: str, name: str) -> Place:
        if name not in self.services:
            message = f"there is no service at {address}"
            raise UnknownRecipient(message)
        if not envelope.sender:
            message = "mail without a return path is automatic, and automatic mail starts no job"
            raise Automatic(message)
        return Place(purpose=Purpose.SERVICE, name=name)

    def _commands(self, envelope: Envelope, address: str, detail: str) -> Place:
        if detail and not _REPLY.fullmatch(detail):
            message = f"{address} is not an address of this gateway"
            raise UnknownRecipient(message)
        if not envelope.sender:
            message = (
                "mail without a return path is automatic, and automatic mail gives no commands"
            )
            raise Automatic(message)
        return Place(purpose=Purpose.COMMANDS, name=detail or OWN)

    def _postmaster(self) -> Place:
        held = self._view().count(
            "SELECT COUNT(*) FROM errand WHERE state = 'HELD' AND kind = 'postmaster'"
        )
        if held >= POSTMASTER_MAILS:
            message = "the postmaster has too much unread mail; try again later"
            raise Transient(message)
        return Place(purpose=Purpose.POSTMASTER, name="postmaster")

    def _returned(self, address: str, tag: str) -> Place:
        letter = returned.tagged(self._view(), tag)
        if letter is None:
            message = f"no letter of this gateway left with the return path {address}"
            raise UnknownRecipient(message)
        return Place(purpose=Purpose.BOUNCE, name=f"bounce.{tag}", letter=letter)

    def _confirmation(self, envelope: Envelope, address: str, token: str) -> Place:
        if confirmations.find(self._view(), token, now=time.time()) is None:
            message = f"nothing waits for a confirmation at {address}, or not any more"
            raise UnknownRecipient(message)
        if not envelope.sender:
            message = "mail without a return path is automatic, and confirms nothing"
            raise Automatic(message)
        return Place(purpose=Purpose.CONFIRM, name=token)

    # --- the message ------------------------------------------------------------------------------

    def judge(self, envelope: Envelope, header: Header, size: int) -> Verdict:
        """Decide from envelope and header alone what is to be done with a message.

        Over LMTP each recipient has an answer of its own: those that are refused stand in the
        verdict, and the others get it.

        Raises
        ------
        Refusal, Transient
            It is not taken; the sentence says why. Over LMTP with several recipients: Apart.
        """
        try:
            return self._judged(envelope, header, size)
        except MailgateError:
            if envelope.door != "lmtp" or len(envelope.recipients) < 2:
                raise
        return self._judged_apart(envelope, header, size)

    def _judged_apart(self, envelope: Envelope, header: Header, size: int) -> Verdict:
        """Judge a message for as many of its recipients as go together, the first ones first."""
        taken: tuple[str, ...] = ()
        refused: dict[str, MailgateError] = {}
        verdict: Verdict | None = None
        for address in dict.fromkeys(envelope.recipients):
            try:
                together = replace(envelope, recipients=(*taken, address))
                verdict = self._judged(together, header, size)
                taken = together.recipients
            except MailgateError as error:
                alone = replace(envelope, recipients=(address,))
                refused[address] = self._fault(alone, header, size) if taken else error
        if verdict is None:
            raise Apart(refused)
        return replace(verdict, refused=refused)

    def _fault(self, envelope: Envelope, header: Header, size: int) -> MailgateError:
        """Say why one recipient does not get a message, or not together with the others."""
        try:
            self._judged(envelope, header, size)
        except MailgateError as error:
            return error
        # Not which: the same is true of many.
        message = "this recipient takes the mail by itself alone: hand it over again"
        return Transient(message)

    def _judged(self, envelope: Envelope, header: Header, size: int) -> Verdict:
        places = [self.place(envelope, address) for address in envelope.recipients]
        tokens = [p.name for p in places if p.purpose is Purpose.CONFIRM]
        if tokens and len(places) > 1:
            message = "write to the address of a confirmation alone"
            raise Refusal(message)
        if tokens:
            return self._confirming(header, size, token=tokens[0])
        names = [p.name for p in places if p.purpose is Purpose.SERVICE]
        talk = _once([p.name for p in places if p.purpose is Purpose.COMMANDS])
        back = [p.letter for p in places if p.purpose is Purpose.BOUNCE]
        errands = self._back(places) + self._to_the_postmaster(places, size)
        if not names and not talk:
            kept = bool(errands) or self._is_wanted(back, size)
            return Verdict(identity=None, errands=errands, letters=back, held=None, kept=kept)
        vouched, held = self._person(envelope, header, keys=[] if names else talk)
        who = vouched.identity
        claimed = who.how is How.CLAIMED
        if claimed and (errands or back or talk):
            mend = " Write to a service alone, then you are asked to confirm it."
            raise Refusal(vouched.by + (mend if names or OWN in talk or not talk else ""))
        denials = self._denials(vouched.identity, dict.fromkeys(names))
        # Where nobody can be told by himself, a letter says what was denied beside the rest.
        if denials and (all if envelope.door != "lmtp" else any)(denials.values()):
            raise NotAllowed("; ".join(str(why) for why in denials.values() if why))
        errands += [
            (Errand.DENIED if why else Errand.REQUEST, name) for name, why in denials.items()
        ]
        wanted = [self.services[name] for kind, name in errands if kind is Errand.REQUEST]
        rules = quotas.rules(self.config.quota, wanted, vouched.identity)
        # Whoever has used up his quota can still cancel his jobs; what that takes counts, too.
        if names or OWN in talk or size > COMMANDS_SIZE:
            quotas.check_mail(self._view(), rules, size, now=datetime.now(UTC))
        errands += [(Errand.COMMANDS, name) for name in talk]
        return Verdict(
            identity=vouched.identity,
            errands=errands,
            letters=back,
            held=held,
            by=vouched.by,
            room=self._unconfirmed(origin(envelope, who.address, self.config.trust), size)
            if claimed
            else None,
            counted=quotas.counted_mail(rules),
        )

    def _to_the_postmaster(self, places: Sequence[Place], size: int) -> list[tuple[Errand, str]]:
        if not any(place.purpose is Purpose.POSTMASTER for place in places):
            return []
        if size > POSTMASTER_SIZE:
            message = f"mail to the postmaster may have at most {said.size(POSTMASTER_SIZE)}"
            raise TooBig(message)
        return [(Errand.POSTMASTER, "postmaster")]

    def _back(self, places: Sequence[Place]) -> list[tuple[Errand, str]]:
        """Return what is to be read of mail that comes back; of the rest, that it came is noted."""
        return [
            (Errand.BOUNCE, place.name)
            for place in places
            if place.purpose is Purpose.BOUNCE and returned.is_read(self._view(), place.letter)
        ]

    def _confirming(self, header: Header, size: int, *, token: str) -> Verdict:
        """Judge a mail to a confirmation's address: whether its words confirm is seen later."""
        if size > CONFIRMATION_SIZE:
            message = f"a confirmation may have at most {said.size(CONFIRMATION_SIZE)}"
            raise TooBig(message)
        automatic = self._automatic(header)
        if automatic is not None:
            message = f"automatic mail confirms nothing: {automatic.reason}"
            raise Automatic(message)
        address = sender(header)
        asked = confirmations.find(self._view(), token, now=time.time())
        if asked is None or asked.address != address.lower():
            message = f"{address} was not asked: answer from the address that the letter went to"
            raise NotAllowed(message)
        identity = Identity(address=address, how=How.CONFIRMED)
        errands = [(Errand.CONFIRM, f"confirm.{asked.token}")]
        by = "the token of a confirmation"
        return Verdict(identity=identity, errands=errands, letters=(), held=None, by=by)

    def _unconfirmed(self, whence: str, size: int) -> Room:
        trust = self.config.trust
        if size > (most := trust.confirm_size // 2):
            message = f"mail for whose sender nothing vouches may have at most {said.size(most)}"
            raise TooBig(message)
        return Room(mails=trust.confirm_mails, size=trust.confirm_size, origin=whence)

    def _is_wanted(self, back: Sequence[int], size: int) -> bool:
        now = time.time()
        return size <= returned.KEPT and any(
            returned.is_wanted(self._view(), letter, now=now) for letter in back
        )

    def _automatic(self, header: Header) -> Automatically | None:
        """Return the sign of a machine, if there is one; what goes in circles is refused."""
        if header.overfull:
            message = "the header has too many fields: what stands in the last could not be seen"
            raise Refusal(message)
        if is_going_in_circles(header):
            message = f"over {MAX_HOPS} Received fields: this mail goes round in circles"
            raise Refusal(message)
        return judge(header, self.config.gateway.address)

    def _person(
        self, envelope: Envelope, header: Header, *, keys: Sequence[str]
    ) -> tuple[Vouched, str | None]:
        """Return who sent it, and the soft signs of a machine; ``keys``: all that it is to do."""
        automatic = self._automatic(header)
        if automatic is not None and automatic.sure:
            message = f"automatic mail starts no job and is not answered: {automatic.reason}"
            raise Automatic(message)
        vouched = self._vouched(envelope, header, keys)
        asks = self.config.trust.unknown is Unknown.CONFIRM and automatic is None
        if vouched.identity.how is How.CLAIMED and not asks:
            raise NotAllowed(vouched.by)
        if self._is_ours(vouched.identity.address):
            message = (
                f"mail from {vouched.identity.address} is automatic: that is an address of this"
                " gateway"
            )
            raise Automatic(message)
        return vouched, automatic.reason if automatic else None

    def _vouched(self, envelope: Envelope, header: Header, keys: Sequence[str]) -> Vouched:
        """Return who sent it; a KEY was given to one person, and vouches for mail to its job."""

        def fits(address: str) -> tuple[str, str]:
            if not keys or OWN in keys:
                return "", ""
            if all(self._fits(name, address) for name in keys):
                return "the KEY of the reply address, given to them alone", ""
            return "", "the letter went to another address: answer from there"

        return vouch(header, envelope, self.config.trust, fits=fits)

    def _fits(self, name: str, address: str) -> bool:
        if self._secret is None:
            self._secret = self.folder.secret.read_bytes()
        _, job, key = name.split(".")
        return key_fits(self._secret, job, address, key)

    def _is_ours(self, address: str) -> bool:
        return is_ours(self.site, self.services, address)

    def _denials(self, identity: Identity, names: Iterable[str]) -> Mapping[str, Saying | None]:
        """Map services to why the sender may not use them, None where that is allowed."""
        if identity.how is How.CLAIMED:
            # What he may do is asked of whom he will be once he has confirmed.
            identity = Identity(address=identity.address, how=How.CONFIRMED)
        return {name: self.services[name].refusal(identity) for name in names}

    def room(self, more: int = 0) -> None:
        """Check that the disk has room for ``more`` bytes beside what is to stay free.

        Raises
        ------
        NoSpace
            It has not.
        """
        now = time.monotonic()
        # Asked at most ten times a second: a mail of 4 KiB should not pay for it.
        if now - self._free_at > 0.1:
            self._free, self._free_at = files.free(self.folder.root), now
        if self._free - more < self.config.gateway.min_free:
            message = "the gateway's disk is nearly full; try again later"
            raise NoSpace(message)


def _once(names: Sequence[str]) -> list[str]:
    """Return where commands go: what is to a job and to the gateway too is for the job."""
    distinct = list(dict.fromkeys(names))
    return [name for name in distinct if name != OWN] or distinct
