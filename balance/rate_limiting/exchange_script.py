"""What machines tell each other of their limits through Redis: the script that adds it up there, and its words.

A batch of one worker is one call. For each key it says how many were admitted, and gets back what all machines have admitted.
The only clock is Redis's: machines need not agree on the time. Keys end by themselves, as soon as their limit is as if unused.

- A token bucket is `LEVEL TIME` there. What was admitted is added, what has leaked since the last time is taken off, and it is
  never less than what the worker that asks has heard before: so a Redis that has lost its keys learns them again.
- A sliding window is `PART:COUNT ...` there, with parts of a tenth of the window.

A batch that is sent again, because its reply was lost, has the same number and is counted once.
"""

from __future__ import annotations

from hashlib import sha1
from math import isfinite
from typing import Final

from balance.rate_limiting.limiter import SharedLimiter, Usage
from balance.rate_limiting.sliding_window import PARTS, SlidingWindow
from balance.rate_limiting.token_bucket import TokenBucket

US: Final = 1_000_000  # in a second
_MIN_PART_US: Final = 1000
_BATCH_S: Final = 1.0  # longer than anything waits for its batch while Redis is well

# Whoever can write to Redis can write anything under our keys: what is read there is bounded, and never fails the whole batch.
SCRIPT: Final = (
    """\
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local is_again = redis.pcall('GET', KEYS[1]) == ARGV[1]
if not is_again then redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000) end
local told = {string.format('%.0f', now)}
for i = 2, #KEYS do
  local kind, count, mine, size = string.match(ARGV[i], '^(%a) (%d+) (%S+) (%S+)$')
  count, mine, size = tonumber(count), tonumber(mine), tonumber(size)
  if is_again then count = 0 end
  local known = redis.pcall('GET', KEYS[i])
  if type(known) ~= 'string' then known = '' end
  if kind == 'b' then
    local level, at = string.match(known, '^([%d.]+) (%d+)$')
    level, at = math.min(tonumber(level) or 0, 1e9), math.min(tonumber(at) or now, now)
    level = math.max(level + count - (now - at) / 1000000 * size, mine, 0)
    local life = math.min(math.ceil(level / size * 1000), 1e12) + 1000
    redis.call('SET', KEYS[i], string.format('%.6f %.0f', level, now), 'PX', string.format('%.0f', life))
    told[i] = string.format('%.6f', level)
  else
    local part, counts, kept, said = math.floor(now / size), {[0] = count}, {}, {}
    for each, admitted in string.gmatch(known, '(%d+):(%d+)') do
      local age = math.max(part - tonumber(each), 0)
      counts[age] = math.min((counts[age] or 0) + tonumber(admitted), 1e12)
    end
    for age = 0, PARTS do
      if counts[age] and counts[age] > 0 then
        kept[#kept + 1] = string.format('%.0f:%.0f', part - age, counts[age])
        said[#said + 1] = string.format('%d:%.0f', age, counts[age])
      end
    end
    if count > 0 then
      local life = math.ceil(size * (PARTS + 1) / 1000) + 1000
      redis.call('SET', KEYS[i], table.concat(kept, ' '), 'PX', string.format('%.0f', life))
    end
    told[i] = #said > 0 and table.concat(said, ',') or '-'
  end
end
return table.concat(told, ' ')
"""
).replace("PARTS", str(PARTS))
SCRIPT_SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


def report(limiter: SharedLimiter, key: bytes, count: int) -> tuple[Usage, bytes]:
    """How the key stands here, and what is said of it when so many were admitted since the last time.

    After a time without Redis that is not all of them: what has leaked away since is nobody's business.
    """
    usage = limiter.usage(key)
    if isinstance(limiter, TokenBucket):
        count = min(count, int(usage.used + _BATCH_S * limiter.rate) + 1)
        return usage, b"b %d %.6f %.9f" % (count, limiter.known(usage, count), limiter.rate)
    assert isinstance(limiter, SlidingWindow)
    return usage, b"w %d 0 %d" % (min(count, int(usage.used) + 1), _part_us(limiter))


def hear(limiter: SharedLimiter, usage: Usage, told: bytes, now_us: int) -> None:
    """Take up what the script has answered for the key. ValueError for what it never answers."""
    if isinstance(limiter, TokenBucket):
        level = float(told)
        if not isfinite(level) or level < 0.0:
            raise ValueError("no level")
        limiter.learn(usage, level)
        return
    assert isinstance(limiter, SlidingWindow)
    part_us = _part_us(limiter)
    ages = []
    for each in told.split(b",") if told != b"-" else ():
        age, colon, count = each.partition(b":")
        if not (colon and age.isdigit() and count.isdigit() and len(age) < 3 and len(count) < 16):
            raise ValueError("no count")
        parts = int(age)
        ages.append((((parts - 1) * part_us + now_us % part_us) / US if parts else 0.0, int(count)))
    limiter.learn(usage, ages)


def _part_us(limiter: SlidingWindow) -> int:
    return max(_MIN_PART_US, round(limiter.part_s * US))
