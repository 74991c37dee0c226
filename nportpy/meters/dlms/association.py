"""An association: how it comes about, and requests and answers within it, ciphered where that was agreed.

AARQ/AARE; with high-level security the answers to both challenges; then one request after the other. What a meter says
of its own accord is passed over, and an answer in general blocks is put together.
"""

import logging
import secrets
import time
from collections.abc import Callable
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.meters.dlms.channel import Channel
from nportpy.meters.dlms.errors import AnswerTooLong, AssociationRefused, AuthenticationRefused, Dissociated
from nportpy.meters.dlms.settings import Authentication, DlmsSettings, Referencing
from nportpy.protocols.dlms import acse, apdu, axdr, ciphering, logical, short
from nportpy.protocols.dlms.acse import Agreement, Conformance, Context, Mechanism, Proposal, Response
from nportpy.protocols.dlms.apdu import Apdu, Notification
from nportpy.protocols.dlms.blocks import GeneralBlock, GeneralTransfer
from nportpy.protocols.dlms.ciphering import Cipher, Keys
from nportpy.protocols.dlms.classes import ASSOCIATION_LN, CURRENT_ASSOCIATION, REPLY_TO_HLS
from nportpy.protocols.dlms.hls import Challenge
from nportpy.protocols.dlms.logical import Acted
from nportpy.protocols.dlms.results import ExceptionResponse, ServiceError
from nportpy.protocols.dlms.short import Written

log = logging.getLogger(__name__)

MAX_STRAYS: Final = 16
"""Messages in place of an answer that are passed over: notifications, and answers to earlier requests."""

_MECHANISMS: Final = {
    Authentication.NONE: Mechanism.NONE,
    Authentication.LOW: Mechanism.LOW,
    Authentication.MD5: Mechanism.MD5,
    Authentication.SHA1: Mechanism.SHA1,
    Authentication.GMAC: Mechanism.GMAC,
    Authentication.SHA256: Mechanism.SHA256,
}
_CHALLENGE: Final = 16  # bytes
_2020: Final = 1_577_836_800
_VDE_STATE, _INITIATE, _PDU_TOO_SHORT = 2, 6, 3  # of a ServiceError: kinds, and a code of the latter


def _anything(_: Apdu) -> bool:
    return True


class Association:
    """Between one client and one meter, over a channel that is held and connected.

    Attributes:
        open: whether there is one.
        number: how many there have been.
        agreement: what the meter agreed to.
        whom: the meter and the client, for messages.
    """

    def __init__(self, settings: DlmsSettings, channel: Channel) -> None:
        """There is none yet."""
        self.open = False
        self.number = 0
        self.whom = channel.whom
        self._settings = settings
        self._channel = channel
        self._mechanism = _MECHANISMS[settings.authentication]
        self._pdu_size = settings.pdu_size
        self._proven = False  # a service has been answered in this association
        self._cipher = _cipher(settings)
        keys = settings.ciphering
        self._title = settings.system_title if keys is None else keys.system_title
        self._ciphered = keys is not None and (keys.authenticated or keys.encrypted)
        short_names = settings.referencing is Referencing.SHORT
        self._context = Context(1 + short_names + 2 * self._ciphered)
        proposal = acse.SHORT_PROPOSAL if short_names else acse.LOGICAL_PROPOSAL
        self._conformance = proposal if settings.conformance is None else settings.conformance
        self.agreement = Agreement(Conformance(self._conformance), 0, 0)

    async def associate(self) -> None:
        """Make one.

        Raises:
            AssociationRefused, AuthenticationRefused: the meter does not want it.
            ProtocolError: what it says makes no sense.
            LineError: as `Channel.exchange`.
        """
        self.open = self._proven = False
        challenge = secrets.token_bytes(_CHALLENGE) if self._mechanism > Mechanism.LOW else b""
        response = await self._propose(challenge)
        if self._cipher is not None and response.title:
            self._cipher.server_title = response.title
        self.agreement = self._agreed(response)
        if challenge:
            await self._prove(challenge, response)
        self.open, self.number = True, self.number + 1

    async def ask(
        self, request: bytes, within: float, answers: Callable[[Apdu], bool] = _anything, *, secret: bool = False
    ) -> Apdu:
        """The answer to `request`: its own, or the error that came instead.

        Args:
            request: an APDU, plain.
            within: seconds that the meter may think.
            answers: whether an APDU answers this request; others are passed over.
            secret: no trace shows them.

        Raises:
            Dissociated: the meter has forgotten the association.
            AnswerTooLong: it is longer than allowed.
            ProtocolError: what comes makes no sense.
            LineError: as `Channel.exchange`.
        """
        answer = await self._asked(request, within, answers, secret=secret)
        if isinstance(answer, ExceptionResponse) and answer.counter is not None and self._cipher is not None:
            self._cipher.counter = max(self._cipher.counter, answer.counter)
            answer = await self._asked(request, within, answers, secret=secret)
        if self._proven and _is_dissociated(answer):
            self.open = False
            raise Dissociated(f"{self._channel.whom}: {answer}")
        self._proven = self._proven or not isinstance(answer, ExceptionResponse | ServiceError)
        return answer

    # Coming about.

    async def _propose(self, challenge: bytes) -> Response:
        """The response that accepts; the size of APDUs is left open where the one that was stated is refused."""
        settings = self._settings
        value = challenge or (settings.secret if self._mechanism else b"")
        proposal = Proposal(self._context, self._mechanism, value, self._title)
        counted = False
        while True:
            user = acse.initiate_request(self._conformance, self._pdu_size)
            if self._ciphered and self._cipher is not None:
                self._cipher.begin()
                user = self._cipher.protect(user)
            raw = await self._channel.exchange(
                proposal.encode(user), settings.response, secret=self._mechanism is Mechanism.LOW
            )
            refusal = self._refusal(raw)
            if refusal is None:
                return Response.parse(raw)
            error, because_of_size, counter = refusal
            if counter is not None and self._cipher is not None and not counted:
                self._cipher.counter, counted = max(self._cipher.counter, counter), True
            elif because_of_size and self._pdu_size:
                log.debug("the meter refuses our PDU size; it is left open", extra={"meter": self._channel.whom})
                self._pdu_size = 0
            else:
                raise error

    def _refusal(self, raw: bytes) -> tuple[AssociationRefused, bool, int | None] | None:
        """Why it was refused, whether the size of APDUs may be why, and the invocation counter that is wanted."""
        whom = self._channel.whom
        if raw[:1] in (bytes((apdu.SERVICE_ERROR,)), bytes((apdu.EXCEPTION_RESPONSE,))):
            answer = apdu.parse(raw)
            counter = answer.counter if isinstance(answer, ExceptionResponse) else None
            return AssociationRefused(f"{whom} refuses the association: {answer}"), _too_short(answer), counter
        response = Response.parse(raw)
        if response.accepted:
            return None
        text = f"{whom} refuses the association: {response.reason}"
        if response.concerns_authentication:
            return AuthenticationRefused(text), False, None
        unsaid = response.result == 1 and response.diagnostic == acse.Diagnostic.NO_REASON and response.error is None
        return AssociationRefused(text), unsaid or _too_short(response.error), None

    def _agreed(self, response: Response) -> Agreement:
        user = response.user
        if user and self._cipher is not None and ciphering.is_ciphered(user):
            user = self._cipher.open(user)
        return Agreement.parse(user) if user else self.agreement

    async def _prove(self, ours: bytes, response: Response) -> None:
        """Passes 3 and 4: answer the meter's challenge, and look at its answer to ours."""
        whom = self._channel.whom
        if not response.value:
            raise AssociationRefused(f"{whom} sends no challenge, as {self._settings.authentication} wants it")
        challenge = Challenge(
            self._mechanism,
            ours,
            response.value,
            self._settings.secret,
            self._cipher,
            (self._title, response.title),
        )
        answer = axdr.encode(axdr.Tag.OCTET_STRING, challenge.answer())
        if self._settings.referencing is Referencing.LOGICAL:
            request = logical.action(1, ASSOCIATION_LN, CURRENT_ASSOCIATION, REPLY_TO_HLS, answer)
        else:
            request = short.write(short.REPLY_TO_HLS, answer)
        said = await self._asked(request, self._settings.response, _anything)
        match said:
            case Acted(code=0, result=bytes(theirs)) | Written(results=(None,), returned=bytes(theirs)):
                if not challenge.is_answer(theirs):
                    raise AuthenticationRefused(
                        f"{whom} does not know the secret: its answer to our challenge is wrong"
                    )
            case Written(results=(None,)):
                # By short names the answer may be kept back; what is read is worth what the line to the meter is.
                log.debug("the meter took our proof and gave none", extra={"meter": whom})
            case Acted() | Written() | ExceptionResponse() | ServiceError():
                raise AuthenticationRefused(f"{whom} refuses our proof: the password or key is wrong for this client")
            case _:
                raise ProtocolError(f"{whom}: {type(said).__name__} does not answer a proof")

    # Requests.

    async def _asked(
        self, request: bytes, within: float, answers: Callable[[Apdu], bool], *, secret: bool = False
    ) -> Apdu:
        channel = self._channel
        raw = await channel.exchange(self._protected(request), within, secret=secret)
        transfer: GeneralTransfer | None = None
        for _ in range(MAX_STRAYS):
            answer = self._understood(raw)
            while isinstance(answer, GeneralBlock):
                transfer = transfer or GeneralTransfer(self._settings.max_size)
                whole = self._added(transfer, answer)
                if whole is not None:
                    transfer, answer = None, self._understood(whole)
                elif answer.streaming:
                    answer = self._understood(await channel.another(within))
                else:
                    answer = self._understood(await channel.exchange(transfer.acknowledge(), within))
            if not isinstance(answer, Notification) and (_is_error(answer) or answers(answer)):
                return answer
            raw = await channel.another(within)
        raise ProtocolError(f"{channel.whom}: {MAX_STRAYS} messages, and none of them is the answer")

    def _protected(self, request: bytes) -> bytes:
        return self._cipher.protect(request) if self._ciphered and self._cipher is not None else request

    def _understood(self, raw: bytes) -> Apdu:
        try:
            if self._cipher is not None and ciphering.is_ciphered(raw):
                return apdu.parse(self._cipher.open(raw))
            answer = apdu.parse(raw)
        except ProtocolError as error:
            raise ProtocolError(f"{self._channel.whom}: {error}") from None
        if self._ciphered and not (_is_error(answer) or isinstance(answer, Notification | GeneralBlock)):
            raise ProtocolError(f"{self._channel.whom}: a plain answer, where ciphered ones were agreed")
        return answer

    def _added(self, transfer: GeneralTransfer, block: GeneralBlock) -> bytes | None:
        try:
            return transfer.add(block)
        except ProtocolError as error:  # there is no other reason
            raise AnswerTooLong(f"{self._channel.whom}: {error}") from None


def _cipher(settings: DlmsSettings) -> Cipher | None:
    given = settings.ciphering
    if given is None:
        return None
    counter = max(int(time.time()) - _2020, 1) if given.counter is None else given.counter
    control = ciphering.AUTHENTICATED * given.authenticated | ciphering.ENCRYPTED * given.encrypted
    keys = Keys(given.encryption_key, given.authentication_key)
    return Cipher(given.system_title, keys, counter, control, general=given.general)


def _is_error(answer: Apdu) -> bool:
    return isinstance(answer, ExceptionResponse | ServiceError)


def _is_dissociated(answer: Apdu) -> bool:
    if isinstance(answer, ServiceError):
        return answer.kind == _VDE_STATE
    return isinstance(answer, ExceptionResponse) and answer.dissociated


def _too_short(answer: Apdu | None) -> bool:
    return isinstance(answer, ServiceError) and (answer.kind, answer.code) == (_INITIATE, _PDU_TOO_SHORT)
