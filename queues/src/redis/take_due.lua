-- Takes entries that are due for a consumer: those that its host hid until now, and those whose
-- holders have let their time run out.
--
-- ARGV: group, consumer, its visibility in ms, the least time that a holder has, where to begin
-- ('' takes only what was hidden), how many pending entries to look at, how many to take; then for
-- each hidden entry its id, its deliveries and its consumer.
-- Answers: where to go on, the ids that are gone from the stream, and the entries, each with its
-- id, its fields and its deliveries.
local consumer, visibility_ms, least_ms, from = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local scan, most = tonumber(ARGV[6]), tonumber(ARGV[7])
local gone, taken = {}, {}

local function try(id, deliveries)
  local fields = take(id, consumer)
  if fields then
    taken[#taken + 1] = { id, fields, deliveries + 1 }
  else
    gone[#gone + 1] = id
  end
end

for at = 8, #ARGV, 3 do
  local id, deliveries = ARGV[at], ARGV[at + 1]
  if #taken < most and is_ours(id, deliveries, ARGV[at + 2]) then try(id, tonumber(deliveries)) end
end

local go_on = from
if from ~= '' and #taken < most then
  local pending = redis.call('XPENDING', stream, group, 'IDLE', least_ms, from, '+', scan)
  go_on = '-'
  for at, one in ipairs(pending) do
    local id, holder, idle_ms, deliveries = one[1], one[2], one[3], one[4]
    if idle_ms >= visibility_of(holder, visibility_ms) then try(id, deliveries) end
    if #taken == most or at == scan then
      go_on = '(' .. id
      break
    end
  end
end
return { go_on, gone, taken }
