"""Errors about who we are: homes, cards, keys, settings and users.

InvalidInput
  InvalidName         not a legal name of a party, task, user or table
  BadSettings         party.toml cannot be used as it is
  BadCard             a card that cannot be believed
    CardSchemaUnknown   made by a newer release
    CardForged          the signature does not belong to the content
    CardExpired         its time is over
    CardNotYetValid     its time has not come
  BadKeys             a key file that does not hold a key
  BadSignature        a message was not signed by whom it names
  CannotUnseal        sealed for somebody else, or changed on the way
  BadUsers            users.json cannot be used as it is
  WeakPassword        a password that is too short or easily guessed
NotFound
  NoHome              no party lives in that folder
  UserUnknown         no user of that name
  PartyNotTrusted     no card of that party
Conflict
  HomeExists          a party lives there already
  CardChanged         a known party shows up with other keys
  UserExists          that user name is taken
  UserWasRemoved      that user name was somebody's before
  LastOfficer         nobody would be left to manage users
  AlreadyRunning      the same service runs on this home
Denied
  NotAllowed          no role of the user allows it
  NotAuthenticated    no user has that token
"""

from __future__ import annotations

from runtime.errors import Conflict, Denied, InvalidInput, NotFound


class InvalidName(InvalidInput):
    """A party, task, user or table name is not lower-case letters, digits, '-' and '_'."""

    code = "party.invalid_name"


class BadSettings(InvalidInput):
    """The settings file is missing a key, has an unknown one, or holds a wrong value."""

    code = "party.bad_settings"


class BadCard(InvalidInput):
    """A party card is malformed or does not agree with itself."""

    code = "party.bad_card"


class CardSchemaUnknown(BadCard):
    """The card has a schema version that this release does not know."""

    code = "party.card_schema_unknown"


class CardForged(BadCard):
    """The card's signature does not belong to its content."""

    code = "party.card_forged"


class CardExpired(BadCard):
    """The card's validity has ended."""

    code = "party.card_expired"


class CardNotYetValid(BadCard):
    """The card's validity has not begun."""

    code = "party.card_not_yet_valid"


class BadKeys(InvalidInput):
    """A key file is missing or does not hold the key it should."""

    code = "party.bad_keys"


class BadSignature(InvalidInput):
    """A message was not signed by the party it names, or was changed since."""

    code = "party.bad_signature"


class CannotUnseal(InvalidInput):
    """A sealed message is for somebody else, bound to something else, or was changed."""

    code = "party.cannot_unseal"


class BadUsers(InvalidInput):
    """The users file is malformed or names a role that does not exist."""

    code = "party.bad_users"


class WeakPassword(InvalidInput):
    """The password is too short, too long or easily guessed."""

    code = "party.weak_password"


class NoHome(NotFound):
    """No party lives in the folder."""

    code = "party.no_home"


class UserUnknown(NotFound):
    """No user of this party has the name."""

    code = "party.user_unknown"


class PartyNotTrusted(NotFound):
    """This party holds no card of the named party."""

    code = "party.not_trusted"


class HomeExists(Conflict):
    """A party, or something else, is in the folder already."""

    code = "party.home_exists"


class CardChanged(Conflict):
    """A known party's new card does not continue the one that is trusted."""

    code = "party.card_changed"


class UserExists(Conflict):
    """The user name is taken."""

    code = "party.user_exists"


class UserWasRemoved(Conflict):
    """The user name was somebody's before."""

    code = "party.user_was_removed"


class LastOfficer(Conflict):
    """The party would be left without a user who manages users, policy and trust."""

    code = "party.last_officer"


class AlreadyRunning(Conflict):
    """The same service already runs on this home."""

    code = "party.already_running"


class NotAllowed(Denied):
    """No role of the user allows the verb on the object."""

    code = "party.not_allowed"


class NotAuthenticated(Denied):
    """No user of this party has the token."""

    code = "party.not_authenticated"
    http_status = 401
