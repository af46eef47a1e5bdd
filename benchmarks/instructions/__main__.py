"""`python3 benchmarks/instructions`: user instructions for one request, one connection, one frame, counted by valgrind.

On an interpreter with committed counts they are held to those; on any other to the parent commit, counted in the same run. In
a compiled copy (`python3 cmd/build --into DIR`) the compiled package is counted, which has committed counts of its own.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv"
if importlib.util.find_spec("uvloop") is None and (ENVIRONMENT / "bin" / "python").is_file():
    # Whoever types `python3` means the interpreter that has Balance's dependencies.
    os.execv(ENVIRONMENT / "bin" / "python", [str(ENVIRONMENT / "bin" / "python"), *sys.argv])
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]  # the checkout's own package, whatever is installed

from instructions.checkouts import laid_out, parent
from instructions.client_requests import MACHINES
from instructions.costs import COMPILED, costs, placed
from instructions.counting import CountingFailedError, count, valgrind_version
from instructions.interpreter import described
from instructions.verdict import BOUND, FAILURES, Judged, judge

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
COMMITTED = ROOT / "benchmarks" / "instructions.json"


def main() -> int:
    options = _options()
    if options.costs:
        return _say_costs(options.costs, is_written=options.write)
    version = valgrind_version()
    if not version or os.uname().machine not in MACHINES:
        print("instructions are counted by valgrind on x86-64: " + ("not this machine" if version else "it is not installed"))
        return 1 if os.environ.get("CI") else 0
    from scripted.scenarios import SCENARIOS

    names = [name for name in SCENARIOS if options.only in name]
    interpreter = described(version, ROOT)
    committed = json.loads(options.committed.read_text()) if options.committed.is_file() else {}
    known = next((name for name, settings in committed.items() if settings["interpreter"] == interpreter), None)
    counted = count(ROOT, names)
    if options.json:
        options.json.write_text(json.dumps(counted, indent=2) + "\n")
    if options.write:
        name = options.name or known
        if name is None:
            print(f"this interpreter has no name yet: --name NAME\n{json.dumps(interpreter, indent=2)}")
            return 1
        before = committed.get(name, {}).get("counts", {}) if options.only else {}
        after = {**before, **counted}
        committed[name] = {"interpreter": interpreter, "counts": {each: after[each] for each in SCENARIOS if each in after}}
        options.committed.write_text(json.dumps(dict(sorted(committed.items())), indent=2) + "\n")
        print(f"written to {options.committed} for {name}")
        return 0
    if known is not None and not options.against:
        wanted = {name: count for name, count in committed[known]["counts"].items() if options.only in name}
        return _report(counted, wanted, f"what is committed for {known}", is_committed=True)
    against = options.against or ("" if "compiled" in interpreter else parent())
    if not against:
        print("this interpreter is not known, and there is no parent commit, or it is not compiled; nothing to compare with")
    with laid_out(against or str(ROOT)) as checkout:
        return _report(counted, count(checkout, names) if against else {}, against, is_committed=False)


def _say_costs(name: str, *, is_written: bool) -> int:
    committed = json.loads(COMMITTED.read_text())
    if name not in committed:
        print(f"no counts of {name!r} are committed, but of: {', '.join(committed)}")
        return 1
    compiled = committed.get(name + COMPILED)
    table = costs(committed[name]["counts"], compiled and compiled["counts"])
    print(table)
    if is_written:
        RESULTS.write_text(placed(table, RESULTS.read_text()))
    return 0


def _report(counted: dict[str, int], held_to: dict[str, int], what: str, *, is_committed: bool) -> int:
    rows = judge(counted, held_to, is_committed=is_committed)
    print(f"user instructions, held to {what or 'nothing'} and {BOUND:.0%}")
    print(*rows, sep="\n")
    if any(row.judged is Judged.MORE for row in rows):
        print("What costs more and is worth it is written down with --write, and its commit says what it is for.")
    return 1 if any(row.judged in FAILURES for row in rows) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only scenarios whose name contains this")
    parser.add_argument("--write", action="store_true", help="commit to these counts on this interpreter")
    parser.add_argument("--name", help="with --write: what to call an interpreter that is not known yet")
    tree = "the committed counts; a compiled copy is told the tree's"
    parser.add_argument("--committed", type=Path, default=COMMITTED, metavar="FILE", help=tree)
    parser.add_argument("--against", metavar="COMMIT_OR_FOLDER", help="compare with that, whatever is committed")
    table = "count nothing: print what features cost by the committed counts of NAME; with --write into RESULTS.md, too"
    parser.add_argument("--costs", metavar="NAME", help=table)
    parser.add_argument("--json", type=Path, help="also write the counts here")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CountingFailedError, ValueError) as error:
        sys.exit(str(error))
