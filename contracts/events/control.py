"""The control plane's own facts: leases, names, secrets' references, skipped events."""

from contracts.envelope import Event
from contracts.types import Count, Id, Name, Text


class LeaseAcquired(Event):
    """A process leads from here on; its epoch is the version of this event in its stream."""

    type = "lease.acquired"
    name: Id
    epoch: Count
    holder: Name


class NameClaimed(Event):
    """A unique name belongs to this subject."""

    type = "name.claimed"
    kind: Id
    name: Name
    owner: Id


class NameReleased(Event):
    """A unique name is free again."""

    type = "name.released"
    kind: Id
    name: Name


class SecretRotated(Event):
    """The vault holds a new version of a secret; the event holds none of it."""

    type = "secret.rotated"
    secret_id: Id
    version: Count
    purpose: Text = ""


class FoldSkipped(Event):
    """An operator lets one service pass over one event that it cannot digest."""

    type = "fold.skipped"
    service: Id
    position: Count
    event_id: Name
    why: Text


class RebuildAsked(Event):
    """Somebody wants read models made anew from history; none named: all of them.

    only_compare: what is made is compared with what is live, and dropped.
    """

    type = "rebuild.asked"
    rebuild_id: Id
    models: tuple[Id, ...] = ()
    only_compare: bool = False


class ParkedRetried(Event):
    """An admin had a parked message judged again, under its proposer's name: it is recorded now.

    reason: why it was parked. digest: SHA-256 of the message, hex. events: how many it holds.
    """

    type = "parked.retried"
    parked_id: Id
    proposer: Name
    reason: Id
    digest: Name
    events: Count


class ParkedDropped(Event):
    """An admin threw a parked message away; what it said is recorded nowhere.

    because: the admin's own words. Otherwise as `parked.retried`.
    """

    type = "parked.dropped"
    parked_id: Id
    proposer: Name
    reason: Id
    digest: Name
    events: Count
    because: Text
