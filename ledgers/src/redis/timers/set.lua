-- Sets a timer. ARGV: id, moment or nothing, wait in ms, queue, message, the end of time.
local now_ms, now_us = now()
local id = ARGV[1]
if redis.call('HEXISTS', KEYS[2], 'h' .. id) == 1 then
    return {'exists'}
end
local due = text(moment(now_ms, ARGV[2], ARGV[3], ARGV[6]))
redis.call('HSET', KEYS[2], 'm' .. id, ARGV[5])
put(id, due, due, text(now_us), false, ARGV[4])
return {'new'}
