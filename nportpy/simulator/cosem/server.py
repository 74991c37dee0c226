"""One logical device as a client meets it: associations, and what the services do in them."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nportpy.simulator.cosem import logical, security, short
from nportpy.simulator.cosem.acse import (
    AARQ,
    RELEASED,
    RLRQ,
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
from nportpy.simulator.cosem.data import MalformedError, encode, octets
from nportpy.simulator.cosem.logical import Action, Get, Got, Kind, Reference, Refusal
from nportpy.simulator.cosem.objects import CosemObject, Moment, RefusedError, Result, Selection, obis
from nportpy.simulator.cosem.security import Keys
from nportpy.simulator.cosem.short import Named, Read, Write

ASSOCIATION = obis("0.0.40.0.0")
BLOCKED = 60.0
"""Seconds after a wrong password in which no association is made."""

_MIN_PDU = 12
_SHORT = (Context.SHORT, Context.SHORT_CIPHERED)


@dataclass(frozen=True, slots=True)
class Partner:
    """A client that may associate.

    Attributes:
        mechanism: how it proves who it is.
        secret: password or HLS secret.
        denied: OBIS codes that it may not read.
        keys: for GMAC, and for ciphered contexts; None: it has no such.
        title: its system title, which it also sends.
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


class Spoiler(Protocol):
    """What goes wrong in the services; `faults.py` has one."""

    def service(self, apdu: bytes) -> bytes | None:
        """An answer that is given instead of the service; None: it is done."""

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:
        """What is given for an attribute."""

    def block(self, number: int) -> int:
        """The number that a block is given."""


@dataclass(slots=True)
class _Association:
    """What was agreed with a client."""

    partner: Partner
    context: Context
    conformance: Conformance
    pdu_size: int
    title: bytes
    challenge_in: bytes = field(default=b"", repr=False)
    challenge_out: bytes = field(default=b"", repr=False)
    pending: bool = False  # the challenge is not answered yet
    raw: bytes = b""  # of a long answer, what has not been given yet
    block: int = 0  # the number of the last block given; 0: there is no long answer

    @property
    def ciphered(self) -> bool:
        """Whether every APDU is."""
        return self.context in (Context.LOGICAL_CIPHERED, Context.SHORT_CIPHERED)


class Server:
    """A logical device.

    Attributes:
        spoiler: what goes wrong; None: nothing.
        refused: associations that were refused.
        served: requests that were answered in an association.
    """

    def __init__(
        self,
        settings: ServerSettings,
        partners: Mapping[int, Partner],
        objects: Sequence[CosemObject],
        clock: Callable[[float], Moment],
    ) -> None:
        """A device that holds `objects`, read by `partners` (by client address), with a clock."""
        self.spoiler: Spoiler | None = None
        self.refused = 0
        self.served = 0
        self._settings = settings
        self._partners = partners
        self._clock = clock
        self._by_name = {held.obis: held for held in objects}
        self._short = {
            held.base_name + 8 * (attribute - 1): (held, attribute)
            for held in objects
            if held.base_name
            for attribute in (1, *((2,) if held.buffer else ()), *held.attributes)
        }
        self._association: _Association | None = None
        self._blocked_until = 0.0
        self._counter = 0

    def close(self) -> None:
        """The client's connection is gone, and its association with it."""
        self._association = None

    def knows(self, client: int) -> bool:
        """Whether a client of that address is ever answered."""
        return client in self._partners

    def serve(self, apdu: bytes, client: int, now: float) -> bytes | None:
        """The answer to an APDU."""
        if not apdu:
            return None
        try:
            if apdu[0] in (AARQ, RLRQ) and self.spoiler and (instead := self.spoiler.service(apdu)):
                return instead
            if apdu[0] == AARQ:
                return self._associate(Request.parse(apdu), client, now)
            if apdu[0] == RLRQ:
                self.close()
                return RELEASED
            association = self._association
            if association is None:
                return self._not_associated(apdu[0])
            self.served += 1
            return self._in(association, apdu, now)
        except MalformedError:
            return self._malformed(apdu[0])

    def _not_associated(self, tag: int) -> bytes:
        if self._settings.context in _SHORT:
            return short.service_error(6 if tag == short.WRITE_REQUEST else 5, 2, 1)
        return logical.exception(1, Refusal.NOT_POSSIBLE)

    def _malformed(self, tag: int) -> bytes | None:
        if tag == AARQ:
            context = self._settings.context
            self.refused += 1
            return Response(context, Outcome.REJECTED_PERMANENT, Diagnostic.NO_REASON).encode()
        if self._settings.context in _SHORT:
            return short.service_error(6 if tag == short.WRITE_REQUEST else 5, 3, 0)
        return logical.exception(2, Refusal.OTHER)

    # Associations.

    def _associate(self, request: Request, client: int, now: float) -> bytes:
        self.close()
        response = self._considered(request, client, now)
        if response.outcome is not Outcome.ACCEPTED:
            self.refused += 1
        return response.encode()

    def _considered(self, request: Request, client: int, now: float) -> Response:
        ours = self._settings
        ciphered = request.context == ours.context + 2
        partner = self._partners.get(client, Partner())

        def refuse(
            diagnostic: Diagnostic, user: bytes = b"", outcome: Outcome = Outcome.REJECTED_PERMANENT
        ) -> Response:
            return Response(ours.context, outcome, diagnostic, user)

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

    def _accepted(self, request: Request, partner: Partner, proposed: Initiate, context: Context) -> Response:
        ours = self._settings
        pending = partner.mechanism > Mechanism.LOW
        challenge = self._challenge(request.value) if pending else b""
        size = min(proposed.pdu_size or ours.pdu_size, ours.pdu_size)
        association = self._association = _Association(
            partner, context, proposed.conformance & ours.conformance, size, request.title, request.value, challenge,
            pending,
        )  # fmt: skip
        user = initiate_response(association.conformance, ours.pdu_size, context in _SHORT)
        return Response(
            context,
            Outcome.ACCEPTED,
            Diagnostic.AUTHENTICATION_REQUIRED if pending else Diagnostic.NONE,
            self._ciphered(association, user),
            partner.mechanism if pending else 0,
            challenge,
            ours.title if association.ciphered or partner.mechanism in (Mechanism.GMAC, Mechanism.SHA256) else b"",
        )

    def _challenge(self, theirs: bytes) -> bytes:
        """Ours: another one each time, and the same in each run."""
        self._counter += 1
        return hashlib.sha256(theirs + self._counter.to_bytes(4, "big")).hexdigest()[:16].encode()

    def _proved(self, association: _Association, answer: bytes) -> bytes | None:
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

    # Services.

    def _in(self, association: _Association, apdu: bytes, now: float) -> bytes:
        if association.ciphered:
            assert association.partner.keys is not None
            try:
                apdu, _ = security.decipher(association.partner.keys, association.title, apdu)
            except MalformedError:
                return logical.exception(1, Refusal.DECIPHERING)
        if self.spoiler and (instead := self.spoiler.service(apdu)):
            return instead
        serve = self._short_service if association.context in _SHORT else self._logical_service
        return self._ciphered(association, serve(association, apdu, now))

    def _ciphered(self, association: _Association, apdu: bytes) -> bytes:
        if not association.ciphered or apdu[0] not in security.GLOBAL_OF:
            return apdu
        assert association.partner.keys is not None
        self._counter += 1
        return security.cipher(association.partner.keys, self._settings.title, self._counter, apdu)

    def _value(self, association: _Association, held: CosemObject | None, attribute: int, now: float,
               selection: Selection | None, class_id: int | None = None) -> Got:  # fmt: skip
        if held is None:
            return Result.OBJECT_UNDEFINED
        if class_id not in (None, held.class_id):
            return Result.CLASS_INCONSISTENT
        if held.obis in association.partner.denied and attribute != 1:
            return Result.SCOPE_VIOLATED
        needed = Conformance.PARAMETERISED if association.context in _SHORT else Conformance.SELECTIVE
        if selection and not association.conformance & needed:
            return Result.READ_WRITE_DENIED
        got: Got
        try:
            got = held.read(attribute, self._clock(now), selection)
        except RefusedError as error:
            got = error.result
        return self.spoiler.value(held, attribute, got) if self.spoiler else got

    def _logical_service(self, association: _Association, apdu: bytes, now: float) -> bytes:
        agreed = association.conformance
        if len(apdu) > self._settings.pdu_size:
            return logical.exception(1, Refusal.PDU_TOO_LONG)
        if association.pending and apdu[0] != logical.ACTION_REQUEST:
            return logical.exception(1, Refusal.NOT_POSSIBLE)
        match apdu[0]:
            case logical.GET_REQUEST if agreed & Conformance.GET:
                return self._get(association, Get.parse(apdu), now)
            case logical.SET_REQUEST if agreed & Conformance.SET:
                return logical.set_denied(apdu)
            case logical.ACTION_REQUEST if agreed & Conformance.ACTION or association.pending:
                return self._action(association, Action.parse(apdu))
        return logical.exception(1, Refusal.NOT_SUPPORTED)

    def _get(self, association: _Association, get: Get, now: float) -> bytes:
        if get.kind is Kind.NEXT:
            return self._next_block(association, get)
        association.block, association.raw = 0, b""
        if get.kind is Kind.WITH_LIST and not association.conformance & Conformance.MULTIPLE:
            return logical.exception(1, Refusal.NOT_SUPPORTED)
        got = [self._referred(association, reference, now) for reference in get.references]
        if get.kind is Kind.NORMAL:
            whole, raw = logical.normal(get.invoke, got[0]), short.single(got[0])
        else:
            whole, raw = logical.listed(get.invoke, got), logical.raw_list(got)
        if len(whole) <= association.pdu_size:
            return whole
        if not association.conformance & Conformance.BLOCKS_GET:
            return logical.exception(1, Refusal.PDU_TOO_LONG)
        association.raw = raw
        return self._block(association, get.invoke)

    def _referred(self, association: _Association, reference: Reference, now: float) -> Got:
        held = self._by_name.get(reference.name)
        return self._value(association, held, reference.attribute, now, reference.selection, reference.class_id)

    def _next_block(self, association: _Association, get: Get) -> bytes:
        if not association.raw:
            return logical.no_block(get.invoke, get.block, Result.NO_LONG_GET)
        if get.block != association.block:
            association.raw = b""
            return logical.no_block(get.invoke, get.block, Result.BLOCK_NUMBER_INVALID)
        return self._block(association, get.invoke)

    def _block(self, association: _Association, invoke: int) -> bytes:
        number, part, last = self._cut(association, logical.BLOCK_HEADER + 3)
        return logical.block(invoke, number, part, last)

    def _cut(self, association: _Association, header: int) -> tuple[int, bytes, bool]:
        """The next block of a long answer: its number, its part, and whether it is the last."""
        size = max(association.pdu_size - header, 1)
        part, association.raw = association.raw[:size], association.raw[size:]
        association.block += 1
        number = self.spoiler.block(association.block) if self.spoiler else association.block
        association.block = number
        return number, part, not association.raw

    def _action(self, association: _Association, action: Action) -> bytes:
        reference = action.reference
        if (reference.class_id, reference.name, reference.attribute) != (15, ASSOCIATION, 1):
            known = reference.name in self._by_name
            return action.response(Result.READ_WRITE_DENIED if known else Result.OBJECT_UNDEFINED)
        given = action.parameter.value if action.parameter else b""
        reply = self._proved(association, given) if association.pending and isinstance(given, bytes) else None
        if reply is None:
            return action.response(Result.OTHER)
        return action.response(Result.SUCCESS, octets(reply))

    def _short_service(self, association: _Association, apdu: bytes, now: float) -> bytes:
        match apdu[0]:
            case short.READ_REQUEST if association.conformance & Conformance.READ and not association.pending:
                return self._read(association, Read.parse(apdu), now)
            case short.WRITE_REQUEST if association.conformance & Conformance.WRITE or association.pending:
                return self._write(association, Write.parse(apdu))
            case short.WRITE_REQUEST:
                return short.service_error(6, 3, 2)
        return short.service_error(5, 3, 2)

    def _read(self, association: _Association, read: Read, now: float) -> bytes:
        if read.block is not None:
            if not association.raw or read.block != association.block:
                association.raw = b""
                return short.response([Result.BLOCK_NUMBER_INVALID])
            return self._short_block(association)
        association.block, association.raw = 0, b""
        if len(read.wanted) > 1 and not association.conformance & Conformance.MULTIPLE:
            return short.service_error(5, 3, 2)
        got = [self._named(association, named, now) for named in read.wanted]
        whole = short.response(got)
        # Without blocks it relies on HDLC's segments, whatever the size.
        if len(whole) <= association.pdu_size or not association.conformance & Conformance.BLOCKS_GET:
            return whole
        association.raw = short.single(got[0]) if len(got) == 1 else logical.raw_list(got)
        return self._short_block(association)

    def _named(self, association: _Association, named: Named, now: float) -> Got:
        held, attribute = self._short.get(named.name, (None, 0))
        return self._value(association, held, attribute, now, named.selection)

    def _short_block(self, association: _Association) -> bytes:
        number, part, last = self._cut(association, short.BLOCK_HEADER + 3)
        return short.block(number, part, last)

    def _write(self, association: _Association, write: Write) -> bytes:
        results = [
            Result.READ_WRITE_DENIED if named.name in self._short else Result.OBJECT_UNDEFINED for named in write.wanted
        ]
        if [named.name for named in write.wanted] == [short.REPLY_TO_HLS] and association.pending:
            given = write.values[0].value
            reply = self._proved(association, given) if isinstance(given, bytes) else None
            if reply is None:
                return short.written([Result.OTHER])
            # What it returns comes as data in the place of the result.
            return bytes((short.WRITE_RESPONSE, 1, 0)) + encode(octets(reply))
        return short.written(results)
