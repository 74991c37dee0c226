"""One logical device as a client meets it: associations, and what the services do in them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from nportpy.simulator.cosem import logical, short
from nportpy.simulator.cosem.acse import AARQ, RELEASED, RLRQ, Conformance, Diagnostic, Outcome, Request, Response
from nportpy.simulator.cosem.association import SHORT, Association, Associations, Partner, ServerSettings
from nportpy.simulator.cosem.data import MalformedError, encode, octets
from nportpy.simulator.cosem.logical import Action, GeneralBlock, Get, Got, Kind, Reference, Refusal
from nportpy.simulator.cosem.objects import CosemObject, Moment, RefusedError, Result, Selection, obis
from nportpy.simulator.cosem.short import Named, Read, Write

ASSOCIATION = obis("0.0.40.0.0")


class Spoiler(Protocol):
    """What goes wrong in the services; `faults.py` has one."""

    def service(self, apdu: bytes) -> bytes | None:
        """An answer that is given instead of the service; None: it is done."""

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:
        """What is given for an attribute."""

    def block(self, number: int) -> int:
        """The number that a block is given."""


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
        self._association: Association | None = None
        self._associations = Associations(settings, partners)

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
        if self._settings.context in SHORT:
            return short.service_error(6 if tag == short.WRITE_REQUEST else 5, 2, 1)
        return logical.exception(1, Refusal.NOT_POSSIBLE)

    def _malformed(self, tag: int) -> bytes | None:
        if tag == AARQ:
            context = self._settings.context
            self.refused += 1
            return Response(context, Outcome.REJECTED_PERMANENT, Diagnostic.NO_REASON).encode()
        if self._settings.context in SHORT:
            return short.service_error(6 if tag == short.WRITE_REQUEST else 5, 3, 0)
        return logical.exception(2, Refusal.OTHER)

    # Associations.

    def _associate(self, request: Request, client: int, now: float) -> bytes:
        self.close()
        response, self._association = self._associations.consider(request, client, now)
        self.refused += self._association is None
        return response.encode()

    # Services.

    def _in(self, association: Association, apdu: bytes, now: float) -> bytes:
        if apdu[0] == logical.GENERAL_BLOCK:
            return self._next_general(association, apdu)
        try:
            apdu = self._associations.deciphered(association, apdu)
        except MalformedError:
            return logical.exception(1, Refusal.DECIPHERING)
        if self.spoiler and (instead := self.spoiler.service(apdu)):
            return instead
        serve = self._short_service if association.context in SHORT else self._logical_service
        answer = self._associations.ciphered(association, serve(association, apdu, now))
        if len(answer) > association.pdu_size and association.conformance & Conformance.GENERAL_BLOCKS:
            association.block, association.raw = 0, answer
            return self._general_block(association, 0)
        return answer

    def _next_general(self, association: Association, apdu: bytes) -> bytes:
        """The next part of an answer that goes in general blocks, each acknowledged by itself."""
        acknowledged = GeneralBlock.parse(apdu)
        if not association.raw or acknowledged.acknowledged != association.block:
            association.raw = b""
            return logical.exception(1, Refusal.OTHER)
        return self._general_block(association, acknowledged.number)

    def _general_block(self, association: Association, acknowledged: int) -> bytes:
        number, part, last = self._cut(association, logical.GENERAL_HEADER)
        return GeneralBlock(number, acknowledged, part, last).encode()

    def _value(self, association: Association, held: CosemObject | None, attribute: int, now: float,
               selection: Selection | None, class_id: int | None = None) -> Got:  # fmt: skip
        if held is None:
            return Result.OBJECT_UNDEFINED
        if class_id not in (None, held.class_id):
            return Result.CLASS_INCONSISTENT
        if held.obis in association.partner.denied and attribute != 1:
            return Result.SCOPE_VIOLATED
        needed = Conformance.PARAMETERISED if association.context in SHORT else Conformance.SELECTIVE
        if selection and not association.conformance & needed:
            return Result.READ_WRITE_DENIED
        got: Got
        try:
            got = held.read(attribute, self._clock(now), selection)
        except RefusedError as error:
            got = error.result
        return self.spoiler.value(held, attribute, got) if self.spoiler else got

    def _logical_service(self, association: Association, apdu: bytes, now: float) -> bytes:
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

    def _get(self, association: Association, get: Get, now: float) -> bytes:
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
        if len(whole) <= association.pdu_size or association.conformance & Conformance.GENERAL_BLOCKS:
            return whole
        if not association.conformance & Conformance.BLOCKS_GET:
            return logical.exception(1, Refusal.PDU_TOO_LONG)
        association.raw = raw
        return self._block(association, get.invoke)

    def _referred(self, association: Association, reference: Reference, now: float) -> Got:
        held = self._by_name.get(reference.name)
        return self._value(association, held, reference.attribute, now, reference.selection, reference.class_id)

    def _next_block(self, association: Association, get: Get) -> bytes:
        if not association.raw:
            return logical.no_block(get.invoke, get.block, Result.NO_LONG_GET)
        if get.block != association.block:
            association.raw = b""
            return logical.no_block(get.invoke, get.block, Result.BLOCK_NUMBER_INVALID)
        return self._block(association, get.invoke)

    def _block(self, association: Association, invoke: int) -> bytes:
        number, part, last = self._cut(association, logical.BLOCK_HEADER + 3)
        return logical.block(invoke, number, part, last)

    def _cut(self, association: Association, header: int) -> tuple[int, bytes, bool]:
        """The next block of a long answer: its number, its part, and whether it is the last."""
        size = max(association.pdu_size - header, 1)
        part, association.raw = association.raw[:size], association.raw[size:]
        association.block += 1
        number = self.spoiler.block(association.block) if self.spoiler else association.block
        association.block = number
        return number, part, not association.raw

    def _action(self, association: Association, action: Action) -> bytes:
        reference = action.reference
        if (reference.class_id, reference.name, reference.attribute) != (15, ASSOCIATION, 1):
            known = reference.name in self._by_name
            return action.response(Result.READ_WRITE_DENIED if known else Result.OBJECT_UNDEFINED)
        given = action.parameter.value if action.parameter else b""
        reply = self._reply(association, given)
        if reply is None:
            return action.response(Result.OTHER)
        return action.response(Result.SUCCESS, octets(reply))

    def _reply(self, association: Association, given: object) -> bytes | None:
        """Our answer to the client's challenge; None: there is none to give, or the client's own is wrong."""
        if not association.pending or not isinstance(given, bytes):
            return None
        return self._associations.proved(association, given)

    def _short_service(self, association: Association, apdu: bytes, now: float) -> bytes:
        match apdu[0]:
            case short.READ_REQUEST if association.conformance & Conformance.READ and not association.pending:
                return self._read(association, Read.parse(apdu), now)
            case short.WRITE_REQUEST if association.conformance & Conformance.WRITE or association.pending:
                return self._write(association, Write.parse(apdu))
            case short.WRITE_REQUEST:
                return short.service_error(6, 3, 2)
        return short.service_error(5, 3, 2)

    def _read(self, association: Association, read: Read, now: float) -> bytes:
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

    def _named(self, association: Association, named: Named, now: float) -> Got:
        held, attribute = self._short.get(named.name, (None, 0))
        return self._value(association, held, attribute, now, named.selection)

    def _short_block(self, association: Association) -> bytes:
        number, part, last = self._cut(association, short.BLOCK_HEADER + 3)
        return short.block(number, part, last)

    def _write(self, association: Association, write: Write) -> bytes:
        results = [
            Result.READ_WRITE_DENIED if named.name in self._short else Result.OBJECT_UNDEFINED for named in write.wanted
        ]
        if [named.name for named in write.wanted] == [short.REPLY_TO_HLS] and association.pending:
            given = write.values[0].value
            reply = self._reply(association, given)
            if reply is None:
                return short.written([Result.OTHER])
            # What it returns comes as data in the place of the result.
            return bytes((short.WRITE_RESPONSE, 1, 0)) + encode(octets(reply))
        return short.written(results)
