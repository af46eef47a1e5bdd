"""A Source can be pickled, read again and loaded again."""

import pickle
from pathlib import Path

import pytest

from balance.config import UnreadableError, from_flags
from balance.config.overrides.runtime_overrides import BackendChange, Verb
from balance.config.source import Kind, Source
from balance.errors import ConfigError

TEXT = 'listen: ":8080"\nbackends: [{name: a, address: "h:1"}]\n'
HEAVY = BackendChange(Verb.SET, "", "a", '{"weight": 7}')


def test_a_file_is_loaded_as_it_was_until_it_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(TEXT)
    old = pickle.loads(pickle.dumps(Source.of_file(str(file))))
    file.write_text(TEXT.replace("h:1", "h:2"))
    new = old.read()
    addresses = [str(each.load(env={}).loaded.config.pools[0].backends[0].address) for each in (old, new)]
    assert addresses == ["h:1", "h:2"]
    assert new.load(env={}).loaded.config.source == str(file)
    file.unlink()
    with pytest.raises(UnreadableError):
        old.read()


def test_flags_are_checked_again_as_they_were() -> None:
    flags = {"listen": (":8000",), "backends": ("h:1", "h:2"), "algorithm": "least-connections"}
    source = pickle.loads(pickle.dumps(Source.of_flags(flags)))
    assert source.read() == source
    assert source.load(env={}).loaded.config == from_flags(**flags, env={}).config


@pytest.mark.parametrize("source", [Source(Kind.FILE, "f.yaml", TEXT), Source.of_flags({"backends": ("h:1",)})])
def test_changes_apply_to_every_kind_of_source(source: Source) -> None:
    name = "a" if source.kind is Kind.FILE else "backend-1"
    changed = source.load([BackendChange(Verb.SET, "", name, '{"weight": 7}')], env={})
    assert changed.loaded.config.pools[0].backends[0].weight == 7
    assert [each.name for each in changed.kept] == [name]


def test_a_wrong_change_of_flags_is_the_changes_fault() -> None:
    with pytest.raises(ConfigError, match=r"^admin API: backends\[1\]\.weight: -1 is not in"):
        added = BackendChange(Verb.ADD, "", "b", '{"address": "h:2", "weight": -1}')
        Source.of_flags({"backends": ("h:1",)}).load([added], env={})


def test_another_text_stands_for_the_file() -> None:
    source = Source.of_flags({"backends": ("h:1",)}).with_text(TEXT)
    assert source.load([HEAVY], env={}).loaded.config.pools[0].backends[0].weight == 7
