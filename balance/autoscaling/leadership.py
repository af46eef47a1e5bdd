"""How several balancers agree, through Redis: one leads, and what an earlier leader does late is refused by its fencing token.

A lock with a time alone fences nobody: a leader that is stopped (SIGSTOP, a paused machine) wakes up and still believes in it.
So every lead has a number from a counter in Redis, greater than all before. Each write to the state carries it and is refused
by the script when a greater one has written or the lead has passed on; drivers pass it to whoever acts (a variable
BALANCE_FENCING_TOKEN, a field of the JSON, an annotation), who can refuse smaller ones than the greatest they have seen.

A number is at least the seconds since the epoch: a Redis that has lost the counter goes on above what was given, and so does
one that is configured where a balancer alone has scaled before, whose token is the time.

The only clock is Redis's. Each balancer also tells its load here, in the same call, since each sees its own traffic alone.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final

from balance.autoscaling.load_meter import Load

LEASE_INTERVALS: Final = 2.5  # a lead lasts so many intervals without a renewal
MIN_LEASE_S: Final = 2.0
REPORT_INTERVALS: Final = 3.0  # a load that was told longer ago is of a balancer that is silent
FORGET_INTERVALS: Final = 20.0  # then it is gone for good, and counts no more
MAX_REPORTS: Final = 200

# KEYS: leader, fence, state, loads. ARGV: own id, lease ms, own load or "", forget ms.
SYNC: Final = """\
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local leader = redis.call('GET', KEYS[1])
local token = 0
local mine = leader and string.match(leader, '^(%d+) (.*)$')
if mine and string.sub(leader, #mine + 2) == ARGV[1] then
  token = mine
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif not leader then
  local known = redis.call('GET', KEYS[3])
  local written = known and tonumber(string.match(known, '^(%d+) ')) or 0
  token = redis.call('INCR', KEYS[2])
  local least = math.max(written + 1, tonumber(time[1]))
  if token < least then token = least; redis.call('SET', KEYS[2], string.format('%.0f', token)) end
  leader = string.format('%.0f', token) .. ' ' .. ARGV[1]
  redis.call('SET', KEYS[1], leader, 'PX', ARGV[2])
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[3]) end
local told, count = {}, 0
local loads = redis.call('HGETALL', KEYS[4])
for i = 1, #loads, 2 do
  local at = tonumber(string.match(loads[i + 1], '^(%d+) '))
  if not at or now - at > tonumber(ARGV[4]) then redis.call('HDEL', KEYS[4], loads[i])
  elseif count < 200 then
    count = count + 1
    told[count] = string.format('%.0f', now - at) .. ' ' .. string.match(loads[i + 1], ' (.*)$')
  end
end
redis.call('PEXPIRE', KEYS[4], ARGV[4])
local state = redis.call('GET', KEYS[3]) or ''
return {string.format('%.0f', token), leader, state, string.format('%.0f', now), table.concat(told, '\\n')}
"""

# KEYS: leader, state. ARGV: own id, token, the state's text without token and time. 1 when it was written.
WRITE: Final = """\
local leader = redis.call('GET', KEYS[1])
if leader ~= ARGV[2] .. ' ' .. ARGV[1] then return 0 end
local known = redis.call('GET', KEYS[2])
local written = known and tonumber(string.match(known, '^(%d+) ')) or 0
if written > tonumber(ARGV[2]) then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. now .. ' ' .. ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class State:
    """The last change of a pool's size, by whoever led. `is_done` False: it may have been carried out, or not."""

    desired: int = 0  # 0: none was ever made
    token: int = 0
    age_s: float = math.inf
    is_done: bool = True

    def text(self) -> str:
        """As it is written, behind token and time."""
        return json.dumps({"desired": self.desired, "done": self.is_done}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Turn:
    """What one look at the store says. `token` 0: another one leads, or nobody may (`failure`)."""

    token: int
    leader: str = ""
    state: State = State()
    load: Load | None = None  # of all balancers
    is_partial: bool = False
    balancers: int = 1
    failure: str = ""


def load_text(load: Load | None) -> str:
    """A balancer's load as it is told; "" for one that is not known, so that what was told before grows old."""
    return "" if load is None else f"{load.begun:.3f} {load.active:.3f} {load.ended:.3f} {load.time_ms:.3f}"


def turn_of(reply: Any, interval_s: float) -> Turn:
    """The reply of SYNC. ValueError when it is none."""
    if not (isinstance(reply, list) and len(reply) == 5 and all(isinstance(part, bytes) for part in reply)):
        raise ValueError("an answer of another type")
    token, leader, state, now_ms, told = (part.decode("utf-8", "replace") for part in reply)
    load, is_partial, count = None, False, 0
    for line in told.split("\n") if told else ():
        age_ms, *numbers = (float(number) for number in line.split(" "))
        if len(numbers) != 4 or not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("a load that is none")
        count += 1
        if age_ms > REPORT_INTERVALS * interval_s * 1000:
            is_partial = True
            continue
        one = Load(*numbers)
        load = one if load is None else load + one
    holder = leader.partition(" ")[2]
    return Turn(int(token), holder, state_of(state, int(now_ms)), load, is_partial, count)


def state_of(text: str, now_ms: int) -> State:
    """The state as it is in Redis; none where it can't be read: whoever can write there can write anything."""
    token, _, rest = text.partition(" ")
    at_ms, _, document = rest.partition(" ")
    try:
        found = json.loads(document)
        return State(max(0, int(found["desired"])), int(token), max(0.0, (now_ms - int(at_ms)) / 1000), bool(found["done"]))
    except (ValueError, KeyError, TypeError):
        return State()
