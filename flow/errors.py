"""Every error that Flow names.

PlatformError
  InvalidInput
    JobInvalid            job.json breaks a rule; it carries every problem with its path
    UnknownSchema         a job, message or manifest of a version this Flow does not speak
    FileUnwritable        a file for results cannot be written, or has no suffix that says what it is
    BadUsePolicy          a use policy names what is not known here, or a date that is over
    BadMessage            another party's Flow sent something that is not in the closed list
    BadDatabase           the database's address, or the file that holds it, cannot be used
  NotFound
    UnknownJob            no such job at this party
    UnknownMethod         a Flow-to-Flow call that does not exist
  Conflict
    IllegalTransition     a state and an event that do not go together
    Moved                 somebody else moved the job or attempt first
    FileThere             a file that would be written is there already
    CheckpointPastEnd     a task would go on after its own last step
    TokenReused           another job, or another user's, was submitted with this submit token
    ManifestMismatch      the manifest is not what this party agreed to
    ApiMismatch           two parties of a job speak no common version of the API of algorithms
    NotPausable           a job that does not run cannot be paused, nor go on if it is not paused
    JobNotRunning         a report of a job that is not agreed on yet, or has ended
    PartyLeft             the party left the job and takes no order for it
    TooManyAttempts       the order is for more attempts than the manifest allows
    UnreadableJob         what an older release stored of a job is beyond today's bounds
    InUse                 a table or model that a job needs which is not over
    TooManyNotes          as many notes as there may be on a job
    TimedOut              a job ran or waited longer than its settings allow
    CheckpointGone        an attempt would go on from a checkpoint that is not there any more
    JobForgotten          a party of a running job knows nothing of it: it lost its database
    StartedTooLate        the reservation of an attempt had expired before it was started
    NotAskedForApproval   there is nothing to approve or to refuse
    ProposalChanged       an approval names something else than what there is to approve now
  Denied
    TableOwned            a table of that name belongs to another user
    DataNotYours          a job would read what belongs to another user
    SourcesUnknown        what a table or model was made of is not known any more
    NotInitiator          an order for a job, or its pause, by a party that does not lead it
    JobRefused            a party did not agree to the job
    PolicyForbids         a party's policies changed since it agreed, and forbid the job now
  Unavailable
    TooManyJobs           too many jobs of one party have not ended here
    AskedTooOften         one party asked too often what would be answered to a job
    JobsTooLarge          too many bytes of jobs of one party that have not ended here
    EarlierJobRuns        the job to go on from has not ended at this party yet
    StoreUnavailable      the database cannot be reached now
    MessagesLost          a party's gateway lost the messages of an attempt that ran
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runtime.errors import Conflict, Denied, InvalidInput, NotFound, Unavailable


@dataclass(frozen=True)
class Problem:
    """One broken rule of a job.json: the path of the field, what is wrong, what to do."""

    path: str
    message: str
    hint: str = ""


class JobInvalid(InvalidInput):
    """job.json breaks at least one rule.

    Attributes:
        problems: Every broken rule with the path of the field.
    """

    code = "flow.job_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        where = f"{first.path}: " if first.path else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}{first.message}{more}", hint=first.hint)
        self.problems = tuple(problems)


class UnknownSchema(InvalidInput):
    """A document carries a schema version that this Flow does not speak."""

    code = "flow.unknown_schema"


class BadUsePolicy(InvalidInput):
    """A use policy names a component, party or user that is not known here, or ends at a date that is over."""

    code = "flow.bad_use_policy"


class BadMessage(InvalidInput):
    """A Flow-to-Flow message does not have the form of its method."""

    code = "flow.bad_message"


class UnknownJob(NotFound):
    """There is no such job at this party."""

    code = "flow.unknown_job"


class UnknownMethod(NotFound):
    """A Flow-to-Flow call names a method that does not exist."""

    code = "flow.unknown_method"


class IllegalTransition(Conflict):
    """A state and an event that do not go together."""

    code = "flow.illegal_transition"


class Moved(Conflict):
    """The job or attempt is no longer in the state that the caller saw."""

    code = "flow.moved"


class TokenReused(Conflict):
    """Another job, or a job of another user, was submitted with the same submit token."""

    code = "flow.submit_token_reused"


class CheckpointPastEnd(Conflict):
    """The checkpoint to go on from is of a later step than the last one that a task now has."""

    code = "flow.checkpoint_past_end"


class ManifestMismatch(Conflict):
    """The manifest is not what this party agreed to, or a signature in it does not fit."""

    code = "flow.manifest_mismatch"


class JobNotRunning(Conflict):
    """A report came of a job that is not agreed on yet, or that has ended."""

    code = "flow.job_not_running"


class NotPausable(Conflict):
    """Only a job that runs can be paused, and only one that is paused can go on."""

    code = "flow.not_pausable"


class PartyLeft(Conflict):
    """The party left the job and takes no order for it."""

    code = "flow.party_left"


class TooManyAttempts(Conflict):
    """The order is for more attempts of a task than the job's manifest allows."""

    code = "flow.too_many_attempts"


class UnreadableJob(Conflict):
    """What an older release stored of the job is beyond what a message may hold today."""

    code = "flow.unreadable_job"


class NotInitiator(Denied):
    """A party gives an order for a job that another party leads."""

    code = "flow.not_initiator"


class TableOwned(Denied):
    """A table of that name belongs to another user of the party, who alone adds versions to it."""

    code = "flow.table_owned"


class DataNotYours(Denied):
    """A job would read a table, a model or checkpoints that belong to another user of the party."""

    code = "flow.data_not_yours"


class SourcesUnknown(Denied):
    """What a table, a model or checkpoints were made of is not known any more, so that no rule says who may use it."""

    code = "flow.sources_unknown"


class NotAskedForApproval(Conflict):
    """The job does not wait for a decision of this party."""

    code = "flow.not_asked_for_approval"


class ProposalChanged(Conflict):
    """What an approval names is not what is asked now: a table, a model or a rule has changed since it was shown."""

    code = "flow.proposal_changed"

    def __init__(self, job: str, message: str = "What is asked has changed since it was shown.") -> None:
        super().__init__(message, hint=f"Look at it again with 'flow job proposal {job}'.")


class ApiMismatch(Conflict):
    """The releases of two parties of the job speak no common version of the API of algorithms."""

    code = "flow.api_mismatch"


class JobRefused(Denied):
    """A party did not agree to the job."""

    code = "flow.job_refused"


class InUse(Conflict):
    """A job that is not over needs the table or model that was to be deleted."""

    code = "flow.in_use"


class TooManyNotes(Conflict):
    """There are as many notes on the job as there may be."""

    code = "flow.too_many_notes"


class TimedOut(Conflict):
    """A job ran or waited longer than its settings allow."""

    code = "flow.timed_out"


class JobForgotten(Conflict):
    """A party of a running job, or its initiator, knows nothing of it any more."""

    code = "flow.job_forgotten"


class StartedTooLate(Conflict):
    """The reservation of an attempt had expired before it was started."""

    code = "flow.reservation_expired"


class CheckpointGone(Conflict):
    """An attempt would go on from a checkpoint that is not there any more; the next one goes on from what is."""

    code = "flow.checkpoint_gone"


class PolicyForbids(Denied):
    """A party's policies were changed after it agreed to a job, and forbid it now."""

    code = "flow.policy_forbids"


class TooManyJobs(Unavailable):
    """As many jobs of the proposing party as may have not ended here."""

    code = "flow.too_many_jobs"


class AskedTooOften(Unavailable):
    """As many jobs as may be considered for one party in a minute."""

    code = "flow.asked_too_often"


class JobsTooLarge(Unavailable):
    """The documents of the proposing party's jobs that have not ended here are as large as they may be."""

    code = "flow.jobs_too_large"


class EarlierJobRuns(Unavailable):
    """The job to go on from has not ended at this party yet."""

    code = "flow.earlier_job_runs"


class StoreUnavailable(Unavailable):
    """The database cannot be reached now."""

    code = "flow.store_unavailable"


class BadDatabase(InvalidInput):
    """The database address, or the file that holds it, cannot be used."""

    code = "flow.bad_database"


class FileUnwritable(InvalidInput):
    """A file that results should go to cannot be written, or its name does not say in which form."""

    code = "flow.file_unwritable"


class FileThere(Conflict):
    """A file that would be written is there already."""

    code = "flow.file_there"


class MessagesLost(Unavailable):
    """A party's gateway lost its store, and with it messages of an attempt that ran; the task is tried again."""

    code = "flow.messages_lost"
