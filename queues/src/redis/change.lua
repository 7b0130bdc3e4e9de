-- Changes for how long entries have been idle, as far as they are still their consumers'.
--
-- ARGV: group; then for each entry its id, its deliveries, its consumer, and the idle time in ms.
-- Answers for each: 1 if it is so, 0 if it is somebody else's, -1 if it is gone from the stream.
local answers = {}
for at = 2, #ARGV, 4 do
  local id, consumer = ARGV[at], ARGV[at + 2]
  local answer = 0
  if is_ours(id, ARGV[at + 1], consumer) then
    answer = 1
    if not redis.call('XCLAIM', stream, group, consumer, 0, id, 'IDLE', ARGV[at + 3], 'JUSTID')[1] then
      redis.call('XACK', stream, group, id)
      answer = -1
    end
  end
  answers[#answers + 1] = answer
end
return answers
