-- Settles entries, as far as they are still their consumers'.
--
-- ARGV: group, whether to delete them from the stream ('1'); then for each entry its id, its
-- deliveries and its consumer.
-- Answers for each: 1 if it is settled, 0 if it is somebody else's.
local answers = {}
for at = 3, #ARGV, 3 do
  local id = ARGV[at]
  local answer = 0
  if is_ours(id, ARGV[at + 1], ARGV[at + 2]) then
    redis.call('XACK', stream, group, id)
    if ARGV[2] == '1' then redis.call('XDEL', stream, id) end
    answer = 1
  end
  answers[#answers + 1] = answer
end
return answers
