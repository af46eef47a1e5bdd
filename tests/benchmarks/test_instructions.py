"""The pure parts of the instruction counts: what they are compared with and what is said of it; and that the scenarios run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from instructions import checkouts
from instructions.costs import COMPILED, FEATURES, PLAIN, costs, placed
from instructions.verdict import FAILURES, Judged, Row, judge, per_time
from scripted.scenarios import SCENARIOS

COMMITTED = json.loads((Path(__file__).parents[2] / "benchmarks" / "instructions.json").read_text())


@pytest.mark.parametrize(
    ("counted", "judged"),
    [
        (970, Judged.SAME),
        (1030, Judged.SAME),
        (1031, Judged.MORE),
        (969, Judged.LESS),
    ],
)
def test_three_percent_more_pass_and_no_more(counted: int, judged: Judged) -> None:
    assert judge({"a": counted}, {"a": 1000}, is_committed=True) == [Row("a", counted, 1000, judged)]
    assert judge({"a": counted}, {"a": 1000}, is_committed=False) == [Row("a", counted, 1000, judged)]


def test_only_less_passes_without_being_the_same() -> None:
    assert {judged for judged in Judged if judged not in FAILURES} == {Judged.SAME, Judged.LESS, Judged.NEW}


def test_committed_counts_are_complete_and_hold_nothing_stale() -> None:
    rows = judge({"a": 1, "new": 2}, {"a": 1, "old": 3}, is_committed=True)
    assert {row.scenario: row.judged for row in rows} == {"a": Judged.SAME, "new": Judged.UNKNOWN, "old": Judged.GONE}


def test_a_scenario_that_the_parent_did_not_have_is_no_failure() -> None:
    rows = judge({"a": 1, "new": 2}, {"a": 1, "old": 3}, is_committed=False)
    assert {row.scenario: row.judged for row in rows} == {"a": Judged.SAME, "new": Judged.NEW}


def test_what_counting_costs_is_in_no_count() -> None:
    overhead, each = 5_000, 700
    assert per_time(overhead + 100 * each, overhead + 200 * each, 100) == each


def test_a_row_says_how_much_more_it_is() -> None:
    assert str(Row("a", 1100, 1000, Judged.MORE)).split() == ["a", "1,100", "1,000", "+10.0%", "TOO", "MANY"]
    assert str(Row("a", None, 1000, Judged.GONE)).split()[:3] == ["a", "-", "1,000"]


@pytest.mark.parametrize("name", COMMITTED)
def test_each_named_interpreter_has_a_count_for_each_scenario(name: str) -> None:
    assert list(COMMITTED[name]["counts"]) == list(SCENARIOS)
    assert {"python", "build", "machine", "valgrind", "uvloop", "httptools"} <= COMMITTED[name]["interpreter"].keys()


def test_no_two_names_are_one_interpreter() -> None:
    interpreters = [entry["interpreter"] for entry in COMMITTED.values()]
    assert all(interpreters.count(one) == 1 for one in interpreters)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_does_what_it_says_as_often_as_it_is_asked(name: str) -> None:
    run = SCENARIOS[name]()
    run(1)
    run(3)


def test_every_feature_of_the_table_is_a_scenario() -> None:
    assert {PLAIN, *FEATURES} <= SCENARIOS.keys()


def test_the_table_says_what_each_adds_to_a_plain_request_in_python_and_compiled() -> None:
    lines = costs({PLAIN: 1000, "heads never seen": 2500}, {PLAIN: 500, "heads never seen": 600}).splitlines()
    assert lines[2] == "| plain | 1,000 | – | 500 | – |"
    assert lines[-1].endswith("| 2,500 | +1,500 (+150%) | 600 | +100 (+20%) |")
    assert lines[3].endswith("| – | – | – | – |")
    assert len(costs({PLAIN: 1000}, None).splitlines()[0].split("|")) == 5


def test_the_table_takes_its_place_in_the_page_and_no_other() -> None:
    page = "before\n<!-- costs:begin -->\nold\n<!-- costs:end -->\nafter"
    assert placed("new", page) == "before\n<!-- costs:begin -->\nnew\n<!-- costs:end -->\nafter"
    with pytest.raises(ValueError, match="no place"):
        placed("new", "before")


def test_a_compiled_count_is_of_an_interpreter_that_has_one_without_and_says_by_what() -> None:
    compiled = [name for name in COMMITTED if name.endswith(COMPILED)]
    assert compiled
    for name in compiled:
        both = COMMITTED[name]["interpreter"], COMMITTED[name.removesuffix(COMPILED)]["interpreter"]
        assert {"compiled": both[0].get("compiled")} == dict(both[0].items() - both[1].items())


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits of a package."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    (tmp_path / "balance").mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for text in ("first", "second"):
        (tmp_path / "balance" / "a.py").write_text(text)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
        subprocess.run(["git", *identity, "commit", "--quiet", "--message", text], cwd=tmp_path, check=True)
    monkeypatch.setattr(checkouts, "ROOT", tmp_path)
    return tmp_path


def test_what_is_committed_is_compared_with_its_parent_and_what_is_not_with_head(repository: Path) -> None:
    file = repository / "balance" / "a.py"
    found = []
    for text in ("second", "third"):
        file.write_text(text)
        with checkouts.laid_out(checkouts.parent()) as folder:
            found.append((folder / "balance" / "a.py").read_text())
    assert found == ["first", "second"]


def test_a_folder_is_compared_with_as_it_is(repository: Path) -> None:
    with checkouts.laid_out(str(repository)) as folder:
        assert folder == repository


def test_what_is_neither_a_commit_nor_a_folder_is_named(repository: Path) -> None:
    with pytest.raises(ValueError, match="no-such-thing is neither"), checkouts.laid_out("no-such-thing"):
        pass
