-- A timer. ARGV: id. Answers its due, fence, whether a host has it in hand, queue, message.
local now_ms = now()
local h = head(ARGV[1])
if not h then
    return {'gone'}
end
local message = redis.call('HGET', KEYS[2], 'm' .. ARGV[1])
if h.damage or not message then
    return {'damaged', h.damage or 'its message is gone'}
end
return {'timer', h.due, h.fence, is_held(ARGV[1], h, now_ms) and '1' or '0', h.queue, message}
