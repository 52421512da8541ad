"""Every preset under every protection and encoding: it runs, or is refused with the words that do not go together."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import get_args

import pytest
from pydantic import ValidationError

from algorithms.crypto.paillier import generate
from algorithms.encoding import schemes as encodings
from algorithms.encoding.settings import EncodingSettings
from algorithms.federated.presets import PRESETS
from algorithms.kit import disclosure
from algorithms.kit.compatibility import PAIRS
from algorithms.local_run import LocalMemory, LocalSettings, run_local
from algorithms.protection import schemes as protections
from algorithms.protection.settings import ProtectionSettings
from algorithms.registry import component
from storage.client import encode
from tests.fixtures.algorithms import ARBITER, GUEST, HOST, RecordingExchange, breast, make_table

LR = component("homo_lr")
PRESET, PROTECTION = [None, *PRESETS], list(protections.SCHEMES)
KINDS, PACKINGS = [None, "floats", "fixed_point"], ["exact", "compact"]
CUTS = (slice(0, 40), slice(40, 80))
NON_DEFAULT = {"encoding.packing": "compact", "encoding.value_range": 8.0}


@cache
def key_record():
    return bytes(encode(generate(2048, "subgroup").record()))


@pytest.mark.parametrize("preset", PRESET)
@pytest.mark.parametrize("protection", PROTECTION)
def test_settings_run_on_two_parties_or_are_refused_by_name(tmp_path, preset, protection):
    data = breast()
    tables = [make_table(tmp_path, name, data.x[cut], data.y[cut]) for name, cut in zip("ab", CUTS, strict=True)]
    parties = {GUEST: {"train": tables[0]}, HOST: {"train": tables[1]}, ARBITER: {}}
    refused = []
    for kind, packing in product(KINDS, PACKINGS):
        said = {
            "rounds": 1,
            "preset": preset,
            "protection": {"kind": protection} | ({"keygen": "subgroup"} if protection == "paillier" else {}),
            "encoding": {"kind": kind, "packing": packing},
        }
        memories = {address: LocalMemory() for address in parties}
        memories[GUEST].once("paillier-key", key_record)
        try:
            parameters = LR.parameters.model_validate(LR.parameters.written_out(said))
        except ValidationError as error:
            refused.append(any(pair.sentence in str(error) for pair in PAIRS))
            continue
        result = run_local(LR, parameters, parties, RecordingExchange(), LocalSettings(memories=memories))
        assert len(result.series(GUEST, "loss")) == 2
    assert refused == [True, True]  # floats are not encrypted, nor packed


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.one} {pair.other}")
def test_each_pair_of_the_table_is_refused_with_its_sentence(pair):
    said: dict[str, dict[str, object]] = {}
    for word in (pair.one, pair.other):
        option, _, value = word.partition("=")
        group, name = option.split(".")
        said.setdefault(group, {})[name] = value or NON_DEFAULT[option]
    with pytest.raises(ValidationError) as refused:
        component("exchange").parameters.model_validate(said)
    assert pair.sentence in str(refused.value)
    assert pair.other.partition("=")[0] in str(refused.value)


def test_every_word_of_a_setting_has_its_row():
    def words(settings, field):
        return {word for part in get_args(settings.model_fields[field].annotation) for word in get_args(part) or [part]}

    assert words(ProtectionSettings, "kind") == protections.SCHEMES.keys()
    assert protections.SCHEMES.keys() == disclosure.UPDATES.keys() == disclosure.MEANS.keys()
    kinds = words(EncodingSettings, "kind") - {type(None), "fixed_point"}
    assert kinds | words(EncodingSettings, "packing") == encodings.SCHEMES.keys()
