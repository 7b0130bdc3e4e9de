-- Changes a timer. ARGV: id, fence, moment or nothing, wait in ms, the end of time, and a message
-- if that changes.
local now_ms, now_us = now()
local id = ARGV[1]
local h = head(id)
if not h then
    return {'gone'}
end
if h.damage then
    return {'damaged', h.damage}
end
if h.fence ~= ARGV[2] then
    return {'stale'}
end
local due = text(moment(now_ms, ARGV[3], ARGV[4], ARGV[5]))
if ARGV[6] then
    redis.call('HSET', KEYS[2], 'm' .. id, ARGV[6])
end
put(id, due, due, next_fence(now_us, h.fence), false, h.queue)
return {'done'}
