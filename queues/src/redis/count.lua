-- Counts a stream's entries.
--
-- ARGV: group, the least time that a holder has in ms, how many pending entries to look at.
-- Answers: all entries, those that are pending, those among them that are due, and those that the
-- group was never given (-1 where Redis does not know that).
local pending = redis.call('XPENDING', stream, group)[1]
local due = 0
if pending > 0 then
  for _, one in ipairs(redis.call('XPENDING', stream, group, 'IDLE', ARGV[2], '-', '+', ARGV[3])) do
    if one[3] >= visibility_of(one[2], ARGV[2]) then due = due + 1 end
  end
end
local lag = -1
for _, info in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local fields = {}
  for at = 1, #info, 2 do fields[info[at]] = info[at + 1] end
  -- Before Redis 7 there is none, and where entries were deleted it may be nil.
  if fields['name'] == group and type(fields['lag']) == 'number' then lag = fields['lag'] end
end
return { redis.call('XLEN', stream), pending, due, lag }
