"""Who may associate with a logical device, what is then agreed, and how both prove who they are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from nportpy.simulator.cosem import security
from nportpy.simulator.cosem.acse import (
    VERSION,
    Conformance,
    Context,
    Diagnostic,
    Initiate,
    InitiateError,
    Mechanism,
    Outcome,
    Request,
    Response,
    initiate_response,
)
from nportpy.simulator.cosem.security import Keys

BLOCKED = 60.0
"""Seconds after a wrong password in which no association is made."""

SHORT = (Context.SHORT, Context.SHORT_CIPHERED)

_MIN_PDU = 12
_TITLE_SIZE = 8


@dataclass(frozen=True, slots=True)
class Partner:
    """A client that may associate.

    Attributes:
        mechanism: how it proves who it is.
        secret: password or HLS secret.
        denied: OBIS codes that it may not read.
        keys: for GMAC, and for ciphered contexts; None: it has no such.
    """

    mechanism: Mechanism = Mechanism.NONE
    secret: bytes = field(default=b"", repr=False)
    denied: frozenset[bytes] = frozenset()
    keys: Keys | None = None


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What a logical device agrees to.

    Attributes:
        context: by which names.
        conformance: the services that it has.
        pdu_size: bytes of an APDU that it receives and sends at most.
        zero_pdu_only: it refuses a client that states a size of its own.
        title: its system title.
    """

    context: Context
    conformance: Conformance
    pdu_size: int = 500
    zero_pdu_only: bool = False
    title: bytes = b""


@dataclass(slots=True)
class Association:
    """What was agreed with a client, and how far it is.

    Attributes:
        partner: the client.
        context: by which names, ciphered or not.
        conformance: the services that both have.
        pdu_size: bytes of an answer at most.
        title: the client's system title.
        challenge_in, challenge_out: the client's and ours.
        pending: the client has not answered ours yet.
        raw: of a long answer, what has not been given yet.
        block: the number of the last block given.
    """

    partner: Partner
    context: Context
    conformance: Conformance
    pdu_size: int
    title: bytes
    challenge_in: bytes = field(default=b"", repr=False)
    challenge_out: bytes = field(default=b"", repr=False)
    pending: bool = False
    raw: bytes = b""
    block: int = 0

    @property
    def ciphered(self) -> bool:
        """Whether every APDU is."""
        return self.context in (Context.LOGICAL_CIPHERED, Context.SHORT_CIPHERED)


class Associations:
    """Considers requests for an association."""

    def __init__(self, settings: ServerSettings, partners: Mapping[int, Partner]) -> None:
        """Of a device with those partners, by client address."""
        self._settings = settings
        self._partners = partners
        self._blocked_until = 0.0
        self._counter = 0

    def consider(self, request: Request, client: int, now: float) -> tuple[Response, Association | None]:
        """The answer to a request, and the association if it is accepted.

        Raises:
            MalformedError: the user information is none, or not ciphered with the partner's keys.
        """
        ours = self._settings
        ciphered = request.context == ours.context + 2
        partner = self._partners.get(client, Partner())

        def refuse(
            diagnostic: Diagnostic, user: bytes = b"", outcome: Outcome = Outcome.REJECTED_PERMANENT
        ) -> tuple[Response, None]:
            return Response(ours.context, outcome, diagnostic, user), None

        if now < self._blocked_until:
            return refuse(Diagnostic.NO_REASON, outcome=Outcome.REJECTED_TRANSIENT)
        if (request.context != ours.context and not ciphered) or (ciphered and not partner.keys):
            return refuse(Diagnostic.CONTEXT_NOT_SUPPORTED, InitiateError.VERSION_TOO_LOW.encode())
        if request.mechanism != partner.mechanism:
            required = partner.mechanism and not request.mechanism
            return refuse(Diagnostic.MECHANISM_REQUIRED if required else Diagnostic.MECHANISM_NOT_RECOGNISED)
        if partner.mechanism is Mechanism.LOW and request.value != partner.secret:
            self._blocked_until = now + BLOCKED
            return refuse(Diagnostic.AUTHENTICATION_FAILURE)
        if partner.mechanism > Mechanism.LOW and not 8 <= len(request.value) <= 64:
            return refuse(Diagnostic.AUTHENTICATION_FAILURE)
        if partner.keys and len(request.title) != _TITLE_SIZE:
            return refuse(Diagnostic.AUTHENTICATION_FAILURE)
        user = request.user
        if ciphered and partner.keys:
            user, _ = security.decipher(partner.keys, request.title, user)
        proposed = Initiate.parse(user)
        error = self._objection(proposed)
        if error is not None:
            return refuse(Diagnostic.NO_REASON, error.encode())
        return self._accepted(request, partner, proposed, Context(request.context))

    def _objection(self, proposed: Initiate) -> InitiateError | None:
        if proposed.version < VERSION:
            return InitiateError.VERSION_TOO_LOW
        if not proposed.conformance & self._settings.conformance:
            return InitiateError.INCOMPATIBLE_CONFORMANCE
        if 0 < proposed.pdu_size < _MIN_PDU or (self._settings.zero_pdu_only and proposed.pdu_size):
            return InitiateError.PDU_SIZE_TOO_SHORT
        return None

    def _accepted(
        self, request: Request, partner: Partner, proposed: Initiate, context: Context
    ) -> tuple[Response, Association]:
        ours = self._settings
        pending = partner.mechanism > Mechanism.LOW
        challenge = self._challenge(request.value) if pending else b""
        size = min(proposed.pdu_size or ours.pdu_size, ours.pdu_size)
        association = Association(
            partner, context, proposed.conformance & ours.conformance, size, request.title, request.value, challenge,
            pending,
        )  # fmt: skip
        user = initiate_response(association.conformance, ours.pdu_size, context in SHORT)
        response = Response(
            context,
            Outcome.ACCEPTED,
            Diagnostic.AUTHENTICATION_REQUIRED if pending else Diagnostic.NONE,
            self.ciphered(association, user),
            partner.mechanism if pending else 0,
            challenge,
            ours.title if association.ciphered or partner.mechanism in (Mechanism.GMAC, Mechanism.SHA256) else b"",
        )
        return response, association

    def _challenge(self, theirs: bytes) -> bytes:
        """Ours: another one each time, and the same in each run."""
        self._counter += 1
        return hashlib.sha256(theirs + self._counter.to_bytes(4, "big")).hexdigest()[:16].encode()

    def proved(self, association: Association, answer: bytes) -> bytes | None:
        """Our answer to the client's challenge, if its own to ours is right."""
        partner, ours = association.partner, self._settings.title
        theirs = association.title
        sent, got = association.challenge_out, association.challenge_in
        if partner.mechanism is Mechanism.GMAC:
            assert partner.keys is not None
            right = security.gmac(partner.keys, theirs, answer[1:5], sent)
            self._counter += 1
            reply = security.gmac(partner.keys, ours, self._counter.to_bytes(4, "big"), got)
        else:
            right = security.digest(partner.mechanism, sent, partner.secret, theirs + ours, got)
            reply = security.digest(partner.mechanism, got, partner.secret, ours + theirs, sent)
        if answer != right:
            return None
        association.pending = False
        return reply

    def ciphered(self, association: Association, apdu: bytes) -> bytes:
        """What is sent instead of an APDU: the same, unless the association is ciphered."""
        if not association.ciphered or apdu[0] not in security.GLOBAL_OF:
            return apdu
        assert association.partner.keys is not None
        self._counter += 1
        return security.cipher(association.partner.keys, self._settings.title, self._counter, apdu)

    def deciphered(self, association: Association, apdu: bytes) -> bytes:
        """What a client has sent.

        Raises:
            MalformedError: it is not ciphered, and should be, or not with the partner's keys.
        """
        if not association.ciphered:
            return apdu
        assert association.partner.keys is not None
        return security.decipher(association.partner.keys, association.title, apdu)[0]
