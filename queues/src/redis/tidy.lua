-- Removes consumers of ours that have nothing pending and have not been seen for long: those of
-- hosts that are gone. What is pending would be lost with its consumer.
--
-- ARGV: group, for how long in ms.
-- Answers: how many were removed.
local removed = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
  local fields = {}
  for at = 1, #info, 2 do fields[info[at]] = info[at + 1] end
  local is_of_ours = string.find(fields['name'], '^wasq%-') ~= nil
  if is_of_ours and fields['pending'] == 0 and fields['idle'] >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, group, fields['name'])
    removed = removed + 1
  end
end
return removed
