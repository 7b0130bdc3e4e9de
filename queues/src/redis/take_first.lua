-- Takes the first entries of a stream whose messages come one after the other: those that are due,
-- up to the first that somebody has, and then new ones.
--
-- ARGV: group, consumer, its visibility in ms, how many to take.
-- Answers: in how many ms what stands before the rest is due (-1 if nothing does), the id after
-- which new entries come (where nothing was taken, or ''), the ids that are gone from the stream,
-- and the entries, each with its id, its fields and its deliveries.
local consumer, visibility_ms, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local gone, taken, due_in, from = {}, {}, -1, '-'

repeat
  local pending = redis.call('XPENDING', stream, group, from, '+', most)
  for _, one in ipairs(pending) do
    local id, holder, idle_ms, deliveries = one[1], one[2], one[3], one[4]
    local left_ms = visibility_of(holder, visibility_ms) - idle_ms
    if left_ms > 0 then
      due_in = left_ms
      break
    end
    local fields = take(id, consumer)
    if fields then
      taken[#taken + 1] = { id, fields, deliveries + 1 }
    else
      gone[#gone + 1] = id
    end
    from = '(' .. id
    if #taken == most then break end
  end
until due_in > 0 or #taken == most or #pending < most

if due_in < 0 and #taken < most then
  local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', most - #taken, 'STREAMS', stream, '>')
  for _, entry in ipairs(read and read[1][2] or {}) do taken[#taken + 1] = { entry[1], entry[2], 1 } end
end

local last = ''
if due_in < 0 and #taken == 0 then
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local fields = {}
    for at = 1, #info, 2 do fields[info[at]] = info[at + 1] end
    if fields['name'] == group then last = fields['last-delivered-id'] end
  end
end
return { due_in, last, gone, taken }
