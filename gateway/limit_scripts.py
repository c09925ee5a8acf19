"""The limits' Lua. A scope's counters of two minutes are one packed string: a read and a write, no field to tidy up.

A packed string: minute, then requests and tokens of that minute, requests and tokens of the one before, as doubles.
A scope's running requests are a sorted set of their ids by when each is given up, in seconds.
Every key is named in KEYS and belongs to one organization, so it works in a cluster.
"""

from __future__ import annotations

from gateway.redis_link import Script

LEASE_S = 90  # a place is free that long after its process died

# A clock that was set back goes on in the minute it is now.
_READ = """
local function read(key, minute)
  local kept = redis.call('GET', key)
  if not kept then return 0, 0, 0, 0 end
  local at, requests, tokens, last_requests, last_tokens = struct.unpack('<ddddd', kept)
  if at == minute - 1 then return 0, 0, requests, tokens end
  if at < minute then return 0, 0, 0, 0 end
  return requests, tokens, last_requests, last_tokens
end
local function write(key, ...)
  redis.call('SET', key, struct.pack('<ddddd', ...), 'EX', 121)
end
"""

# KEYS: counters, then sorted sets. ARGV: tokens, number of counters, per counter its limits of requests and of tokens
# (-1: none), per sorted set its limit, then the request's id where there is one.
# Answer: allowed, minute, ms left of it, then twice the counter with the least room and that room: of requests, of
# tokens (0: no such limit); on a refusal also what, which key of its sort, ms to wait (-1: it will never fit).
# The weight of the last minute falls as this one passes, so a burst across the boundary is still counted.
# The commonest case, one limit of requests with room, is answered first and shortly.
ADMIT = Script(
    """
local now = redis.call('TIME')
local time = (now[1] + now[2] / 1000000) / 60
local minute = math.floor(time)
local passed = time - minute
if #ARGV == 4 and ARGV[2] == '1' and ARGV[4] == '-1' then
  local kept = redis.call('GET', KEYS[1])
  local at, requests, used, last, last_used = minute, 0, 0, 0, 0
  if kept then
    at, requests, used, last, last_used = struct.unpack('<ddddd', kept)
    if at < minute then
      if at == minute - 1 then last, last_used = requests, used else last, last_used = 0, 0 end
      requests, used = 0, 0
    end
  end
  local room = math.floor(ARGV[3] - requests - last * (1 - passed))
  if room >= 1 then
    redis.call('SET', KEYS[1], struct.pack('<ddddd', minute, requests + 1, used, last, last_used), 'EX', 121)
    return {1, minute, math.ceil(60000 * (1 - passed)), 1, room - 1, 0, 0}
  end
end
"""
    + _READ
    + """
local tokens, rates = tonumber(ARGV[1]), tonumber(ARGV[2])
local function wait(limit, cost, current, last)
  if cost > limit then return -1 end
  if current + cost <= limit then return 60000 * (1 - (limit - cost - current) / last - passed) end
  return 60000 * (2 - passed - (limit - cost) / current)
end
local counted = {}
local tight_requests, requests_left, tight_tokens, tokens_left = 0, 0, 0, 0
local what, which, longest
for i = 1, rates do
  local requests, used, last_requests, last_used = read(KEYS[i], minute)
  local limit, token_limit = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  counted[i] = {requests, used, last_requests, last_used}
  if limit >= 0 then
    local room = limit - requests - last_requests * (1 - passed)
    if room < 1 then
      local ms = wait(limit, 1, requests, last_requests)
      if not what or (longest >= 0 and (ms < 0 or ms > longest)) then what, which, longest = 'requests', i, ms end
    end
    if tight_requests == 0 or room < requests_left then tight_requests, requests_left = i, room end
  end
  if token_limit >= 0 then
    local room = token_limit - used - last_used * (1 - passed)
    if room < tokens then
      local ms = wait(token_limit, tokens, used, last_used)
      if not what or (longest >= 0 and (ms < 0 or ms > longest)) then what, which, longest = 'tokens', i, ms end
    end
    if tight_tokens == 0 or room < tokens_left then tight_tokens, tokens_left = i, room end
  end
end
local sets = #KEYS - rates
if not what and sets > 0 then
  local seconds = now[1] + now[2] / 1000000
  for i = 1, sets do
    local limit = tonumber(ARGV[2 + 2 * rates + i])
    if redis.call('ZCARD', KEYS[rates + i]) >= limit then
      redis.call('ZREMRANGEBYSCORE', KEYS[rates + i], '-inf', seconds)
      if redis.call('ZCARD', KEYS[rates + i]) >= limit then
        what, which, longest = 'concurrency', i, 0
        break
      end
    end
  end
end
local left_ms = math.ceil(60000 * (1 - passed))
if what then
  return {0, minute, left_ms, tight_requests, math.max(0, math.floor(requests_left)), tight_tokens,
          math.max(0, math.floor(tokens_left)), what, which, math.ceil(longest)}
end
for i = 1, rates do
  local c = counted[i]
  local used = c[2]
  if tonumber(ARGV[2 * i + 2]) >= 0 then used = used + tokens end
  write(KEYS[i], minute, c[1] + 1, used, c[3], c[4])
end
for i = 1, sets do
  local key = KEYS[rates + i]
  redis.call('ZADD', key, now[1] + LEASE, ARGV[#ARGV])
  redis.call('EXPIRE', key, LEASE)
end
return {1, minute, left_ms, tight_requests, math.floor(requests_left) - 1, tight_tokens,
        math.floor(tokens_left) - tokens}
""".replace("LEASE", str(LEASE_S))
)

# KEYS: counters, then sorted sets. ARGV: number of counters, the minute that counted the request, tokens beyond what
# was counted, the request's id. What was too much goes back to the minute that has it; what was too little counts now.
DONE = Script(
    _READ
    + """
local rates, counted_in, excess = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if rates > 0 then
  local minute = math.floor(redis.call('TIME')[1] / 60)
  for i = 1, rates do
    local requests, used, last_requests, last_used = read(KEYS[i], minute)
    if excess > 0 or counted_in == minute then
      used = math.max(0, used + excess)
    elseif counted_in == minute - 1 then
      last_used = math.max(0, last_used + excess)
    end
    write(KEYS[i], minute, requests, used, last_requests, last_used)
  end
end
for i = rates + 1, #KEYS do redis.call('ZREM', KEYS[i], ARGV[4]) end
return 1
"""
)

# KEYS: a sorted set. ARGV: ids of requests that still run.
KEEP = Script(
    """
local ends = redis.call('TIME')[1] + LEASE
for i = 1, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], LEASE)
return #ARGV
""".replace("LEASE", str(LEASE_S))
)

# KEYS: counters. ARGV: how many requests are wanted, then per counter its limit of requests.
# Answer: how many may be sent, minute, ms left of it, the counter with the least room, that room without them. At least
# one where there is room for one, at most a hundredth of the room.
TAKE = Script(
    _READ
    + """
local now = redis.call('TIME')
local time = (now[1] + now[2] / 1000000) / 60
local minute = math.floor(time)
local passed = time - minute
local counted, least, which = {}, 0, 0
for i = 1, #KEYS do
  local requests, used, last_requests, last_used = read(KEYS[i], minute)
  counted[i] = {requests, used, last_requests, last_used}
  local room = math.floor(ARGV[i + 1] - requests - last_requests * (1 - passed))
  if which == 0 or room < least then least, which = room, i end
end
if least < 1 then return {0, minute, 0, which, 0} end
local taken = math.max(1, math.min(tonumber(ARGV[1]), math.floor(least / 100)))
for i = 1, #KEYS do
  local c = counted[i]
  write(KEYS[i], minute, c[1] + taken, c[2], c[3], c[4])
end
return {taken, minute, math.ceil(60000 * (1 - passed)), which, least - taken}
"""
)

# KEYS: counters. ARGV: the minute that counted them, how many requests were taken and not sent.
GIVE = Script(
    _READ
    + """
local counted_in, unused = tonumber(ARGV[1]), tonumber(ARGV[2])
local minute = math.floor(redis.call('TIME')[1] / 60)
for i = 1, #KEYS do
  local requests, used, last_requests, last_used = read(KEYS[i], minute)
  if counted_in == minute then
    requests = math.max(0, requests - unused)
  elseif counted_in == minute - 1 then
    last_requests = math.max(0, last_requests - unused)
  end
  write(KEYS[i], minute, requests, used, last_requests, last_used)
end
return 1
"""
)

ALL = (ADMIT, DONE, KEEP, TAKE, GIVE)
