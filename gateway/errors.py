"""What can go wrong at the party's only door.

InvalidInput
  BadContract          a job's contract that cannot be read
  BadEnvelope          a header that cannot be read, or that its body does not match
  EnvelopeVersion      a header of a version that this gateway does not know
  ProtocolMismatch     two gateways without a common protocol version
  CallTooLarge         a Flow-to-Flow call above the limit
NotFound
  MessageGone          a body that was released, or whose job was closed
  PeerUnknown          no trusted card for that party
Conflict
  MessageConflict      the same key came with another body
  ContractChanged      the job is open with another contract
  ManifestsDiffer      another party has the job open under another manifest
  IncarnationOutdated  a newer incarnation of the executor has a token
  JobClosed            the job is over here
  MessageRefused       a peer refused a message of this attempt for good
Denied
  ContractViolation    the job's contract does not allow this message
  BudgetSpent          a line of plain scalars has carried all that it may in this attempt
  KeyChanged           ciphertexts under another key of their owner than those before in this attempt
  PeerRefused          a certificate or sender that is not the pinned one
  PurposeReserved      a signature for a purpose of the gateway itself
  TokenRefused         an executor token that is unknown, revoked or for something else
Unavailable            (retry)
  PeerUnreachable      the other party's gateway does not answer; why, as far as it can be seen:
    PeerNotListening     nobody listens at its address
    PeerSilent           nothing comes back from its address
    PeerAddressUnknown   the name in its address is not known here
    PeerNotAGateway      something else answers at its address
    PeerShowsOther       it shows another certificate than on its card
    PeerDistrustsUs      it does not trust our card, or finds it not valid
  GatewayDown          our own gateway does not answer
  CallerGone           the caller hung up, or was silent for too long
  DeliveryCut          the body of an envelope came in part; it goes on from there
  JobNotOpen           the job is not open here (yet)
  AttemptNotOpen       the attempt has not begun here (yet)
  TooMuchAtOnce        the caller has as many calls at work here as it may have
  ClocksDiffer         a call that is too old or of the future by our clock
  CallRepeated         a call that came before
  NoSubscriber         nobody answers calls at that party at the moment
  CallTimeout          the call was not answered in time
    FlowSilent           by the Flow of the party; its gateway says so
  ExchangeClosed       the conversation was ended while somebody waited
"""

from __future__ import annotations

from runtime.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable


class BadContract(InvalidInput):
    """A job's contract cannot be read."""

    code = "gateway.bad_contract"


class BadEnvelope(InvalidInput):
    """A header that cannot be read, or a body that does not match its header."""

    code = "gateway.bad_envelope"


class EnvelopeVersion(InvalidInput):
    """A header of a version that this gateway does not know."""

    code = "gateway.envelope_version"


class ProtocolMismatch(InvalidInput):
    """Two gateways have no protocol version in common."""

    code = "gateway.protocol_mismatch"


class CallTooLarge(InvalidInput):
    """The body or the answer of a call is above the limit."""

    code = "gateway.call_too_large"


class MessageGone(NotFound):
    """The body of a message was deleted meanwhile."""

    code = "gateway.message_gone"


class PeerUnknown(NotFound):
    """There is no trusted card for that party."""

    code = "gateway.peer_unknown"


class MessageConflict(Conflict):
    """The same message key came with another body."""

    code = "gateway.message_conflict"


class ContractChanged(Conflict):
    """The job is open already, with another contract."""

    code = "gateway.contract_changed"


class ManifestsDiffer(Conflict):
    """Two parties have the same job open under different manifests."""

    code = "gateway.manifests_differ"


class IncarnationOutdated(Conflict):
    """A newer attempt or incarnation of the executor has a token."""

    code = "gateway.incarnation_outdated"


class JobClosed(Conflict):
    """The job is over at this party."""

    code = "gateway.job_closed"


class MessageRefused(Conflict):
    """A peer refused a message of this attempt for good."""

    code = "gateway.message_refused"


class ContractViolation(Denied):
    """The job's contract does not allow this message."""

    code = "gateway.contract_violation"


class BudgetSpent(Denied):
    """A line of plain scalars has carried all that it may in this attempt."""

    code = "gateway.budget_spent"


class KeyChanged(Denied):
    """Ciphertexts are under another key of their owner than those that came before in this attempt."""

    code = "gateway.key_changed"


class PeerRefused(Denied):
    """The certificate or the sender is not the pinned one."""

    code = "gateway.peer_refused"


class PurposeReserved(Denied):
    """A signature was asked for a purpose that is the gateway's own."""

    code = "gateway.purpose_reserved"


class TokenRefused(Denied):
    """The executor's token is unknown, revoked, or for something else."""

    code = "gateway.token_refused"


class PeerUnreachable(Unavailable):
    """The other party's gateway does not answer."""

    code = "gateway.peer_unreachable"


class PeerNotListening(PeerUnreachable):
    """Nobody listens at the peer's address."""

    code = "gateway.peer_not_listening"


class PeerSilent(PeerUnreachable):
    """Nothing comes back from the peer's address."""

    code = "gateway.peer_silent"


class PeerAddressUnknown(PeerUnreachable):
    """The name in the peer's address is not known here."""

    code = "gateway.peer_address_unknown"


class PeerNotAGateway(PeerUnreachable):
    """What answers at the peer's address is not its gateway."""

    code = "gateway.peer_not_a_gateway"


class PeerShowsOther(PeerUnreachable):
    """The peer shows another certificate than on its card."""

    code = "gateway.peer_shows_other"


class PeerDistrustsUs(PeerUnreachable):
    """The peer does not trust our card."""

    code = "gateway.peer_distrusts_us"


class GatewayDown(Unavailable):
    """Our own gateway does not answer."""

    code = "gateway.down"


class DeliveryCut(Unavailable):
    """The body of an envelope came in part; it goes on from there."""

    code = "gateway.delivery_cut"


class JobNotOpen(Unavailable):
    """The job is not open at this party, or not yet."""

    code = "gateway.job_not_open"


class AttemptNotOpen(Unavailable):
    """The attempt has not begun at this party, or not yet."""

    code = "gateway.attempt_not_open"


class CallerGone(Unavailable):
    """The caller hung up before it had said everything, or was silent for too long."""

    code = "gateway.caller_gone"


class TooMuchAtOnce(Unavailable):
    """The caller has as many calls at work here as it may have."""

    code = "gateway.too_much_at_once"


class ClocksDiffer(Unavailable):
    """A call was made too long ago, or in the future, by our clock."""

    code = "gateway.clocks_differ"


class CallRepeated(Unavailable):
    """The same signed call came before; the caller makes a new one."""

    code = "gateway.call_repeated"


class NoSubscriber(Unavailable):
    """Nobody answers calls at that party at the moment."""

    code = "gateway.no_subscriber"


class CallTimeout(Unavailable):
    """The call was not answered in time."""

    code = "gateway.call_timeout"


class FlowSilent(CallTimeout):
    """The gateway of that party answers, its Flow does not."""

    code = "gateway.flow_silent"


class ExchangeClosed(Unavailable):
    """The conversation was ended while somebody waited."""

    code = "gateway.exchange_closed"
