"""What a text from another party may be; what its numbers may be stands in `runtime.bounds`.

Two ways, by what the text is for. What is compared, signed or becomes a key is **strict**: one that is too long or
holds control characters is refused. What is only ever read by people is **cut**: it arrives whole or shortened, its
control characters replaced, so that a talkative party is heard all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from party.ids import JOB_ID_PATTERN, MAX_NAME_CHARS, NAME_PATTERN, Role
from runtime.text import is_printable, printable

MAX_LABEL_CHARS = 100
MAX_REFERENCE_CHARS = 300
MAX_SENTENCE_CHARS = 4_000
MAX_LINE_CHARS = 64_000
MAX_SENTENCES = 200
_ADDRESS = f"^(?:{'|'.join(Role)}):{NAME_PATTERN}$"


def _one_line(text: str) -> str:
    if not is_printable(text):
        raise ValueError("it holds control characters")
    return text


def _lines(text: str) -> str:
    if printable(text, lines=True) != text:
        raise ValueError("it holds control characters")
    return text


def shortened(text: object, most: int = MAX_SENTENCE_CHARS) -> object:
    """A text of at most so many characters, without control characters; anything else as it is."""
    if not isinstance(text, str):
        return text
    return printable(text if len(text) <= most else text[: most - 1] + "…", lines=True)


def sentences(texts: Iterable[str]) -> tuple[str, ...]:
    """Sentences as `Sentences` takes them: each once, each of a length, not too many."""
    found = list(dict.fromkeys(str(shortened(text)) for text in texts))
    if len(found) > MAX_SENTENCES:
        found[MAX_SENTENCES - 1 :] = [f"And {len(found) - MAX_SENTENCES + 1} more."]
    return tuple(found)


JobIdText = Annotated[str, Field(pattern=f"^{JOB_ID_PATTERN}$")]
Task = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", max_length=MAX_NAME_CHARS)]
PartyName = Task
AddressText = Annotated[str, Field(pattern=_ADDRESS, max_length=MAX_NAME_CHARS + 9)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
SignatureText = Annotated[str, Field(pattern="^[0-9a-f]{0,1024}$")]
Label = Annotated[str, Field(max_length=MAX_LABEL_CHARS), AfterValidator(_one_line)]
Reference = Annotated[str, Field(max_length=MAX_REFERENCE_CHARS), AfterValidator(_one_line)]
Sentence = Annotated[str, Field(max_length=MAX_SENTENCE_CHARS), AfterValidator(_lines)]
Sentences = Annotated[tuple[Sentence, ...], Field(max_length=MAX_SENTENCES)]

ShownSentence = Annotated[str, BeforeValidator(shortened)]
ShownLine = Annotated[str, BeforeValidator(lambda text: shortened(text, MAX_LINE_CHARS))]
ShownLabel = Annotated[str, BeforeValidator(lambda text: shortened(text, MAX_LABEL_CHARS))]
