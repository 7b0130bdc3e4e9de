-- The stream, and what every script needs of its group's pending entries.
local stream = KEYS[1]
local group = ARGV[1]

-- Whether an entry is still this consumer's, by this delivery.
local function is_ours(id, deliveries, consumer)
  local pending = redis.call('XPENDING', stream, group, id, id, 1, consumer)[1]
  return pending and pending[4] == tonumber(deliveries)
end

-- For how long its holder has an entry: our consumers say so in their names.
local function visibility_of(consumer, otherwise_ms)
  return tonumber(string.match(consumer, '^wasq%-.*%-(%d+)ms$')) or tonumber(otherwise_ms)
end

-- Gives an entry to a consumer: its fields, or nothing if it is gone from the stream. Then it is
-- not pending any more, either.
local function take(id, consumer)
  local entry = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
  if entry then return entry[2] end
  redis.call('XACK', stream, group, id)
end
