-- Changes for how long entries have been idle, as far as they are still their consumers'.
--
-- ARGV: group; then for each entry its id, its deliveries, its consumer, whose it is to be, and the
-- idle time in ms.
-- Answers for each: 1 if it is so, 0 if it is somebody else's, -1 if it is gone from the stream.
local answers = {}
for at = 2, #ARGV, 5 do
  local id, to, idle_ms = ARGV[at], ARGV[at + 3], ARGV[at + 4]
  local answer = 0
  if is_ours(id, ARGV[at + 1], ARGV[at + 2]) then
    answer = 1
    if not redis.call('XCLAIM', stream, group, to, 0, id, 'IDLE', idle_ms, 'JUSTID')[1] then
      redis.call('XACK', stream, group, id)
      answer = -1
    end
  end
  answers[#answers + 1] = answer
end
return answers
