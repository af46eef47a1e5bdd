"""CPU time, memory and descriptors of a process tree, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# schedstat drops a thread when it ends, stat keeps it: beyond this the ticks are the truer sum.
TICK_SLACK_NS = 5 * TICK_NS


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/<pid>/stat that a benchmark needs."""

    pid: int
    name: str
    parent: int
    session: int
    user_ticks: int
    system_ticks: int


@dataclass(frozen=True, slots=True)
class Memory:
    """One process, in bytes. PSS divides each shared page by the number of its users."""

    rss: int
    pss: int
    private: int


@dataclass(frozen=True, slots=True)
class Clock:
    """CPU time of one process so far: nanoseconds from the scheduler, ticks for the split."""

    run_ns: int
    user_ticks: int
    system_ticks: int


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time of a tree between two readings, and who did not live to be read twice."""

    total_ns: int
    user_share: float
    ended: tuple[int, ...]


def parse_stat(text: str) -> Stat:
    # The name may hold blanks and brackets: only the last ")" ends it (proc(5)).
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    return Stat(int(pid), name, int(fields[1]), int(fields[3]), int(fields[11]), int(fields[12]))


def parse_schedstat(text: str) -> int:
    return int(text.split()[0])


def parse_smaps_rollup(text: str) -> Memory:
    kib: dict[str, int] = {}
    for line in text.splitlines():
        key, _, rest = line.partition(":")
        if rest.strip().endswith("kB"):
            kib[key] = int(rest.split()[0])
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["Rss"] * 1024, kib["Pss"] * 1024, private * 1024)


def parse_core_ticks(text: str, core: int) -> tuple[int, int]:
    """Busy and stolen ticks of one core, from /proc/stat."""
    for line in text.splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, line.split()[1:9])
            return user + nice + system + irq + softirq, steal
    raise LookupError(f"/proc/stat: no line cpu{core}")


def tree_of(leader: int, stats: list[Stat]) -> list[int]:
    """The leader, its descendants, and those of its session whose parent has gone."""
    members = {stat.pid for stat in stats if leader in (stat.pid, stat.session)}
    grown = True
    while grown:
        found = {stat.pid for stat in stats if stat.parent in members} - members
        members |= found
        grown = bool(found)
    return sorted(members)


def spent(before: dict[int, Clock], after: dict[int, Clock]) -> Spent:
    total_ns = user_ticks = system_ticks = 0
    for pid, now in after.items():
        then = before.get(pid, Clock(0, 0, 0))
        user, system = now.user_ticks - then.user_ticks, now.system_ticks - then.system_ticks
        run_ns, ticked_ns = now.run_ns - then.run_ns, (user + system) * TICK_NS
        total_ns += ticked_ns if ticked_ns > run_ns + TICK_SLACK_NS else run_ns
        user_ticks += user
        system_ticks += system
    return Spent(total_ns, user_ticks / max(1, user_ticks + system_ticks), tuple(sorted(set(before) - set(after))))


def all_stats() -> list[Stat]:
    found = []
    for settings in os.listdir("/proc"):
        if settings.isdigit():
            try:
                found.append(parse_stat(Path("/proc", settings, "stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def tree(leader: int) -> list[int]:
    return tree_of(leader, all_stats())


def clocks(pids: list[int]) -> dict[int, Clock]:
    found = {}
    for pid in pids:
        try:
            stat = parse_stat(Path(f"/proc/{pid}/stat").read_text())
            run_ns = sum(parse_schedstat(path.read_text()) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[pid] = Clock(run_ns, stat.user_ticks, stat.system_ticks)
    return found


def memory(pid: int) -> Memory:
    return parse_smaps_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def title(pid: int) -> str:
    """The command line, which a process may have rewritten; shortened for a table."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
    text = " ".join(word.rpartition("/")[2] for word in words)
    return text if len(text) <= 48 else text[:47] + "…"


def core_ticks(core: int) -> tuple[int, int]:
    return parse_core_ticks(Path("/proc/stat").read_text(), core)
