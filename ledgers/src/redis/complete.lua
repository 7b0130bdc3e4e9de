-- A completion without a claim before it. KEYS: entry, steps. ARGV: body, message id, its mark,
-- time to live in ms, discarded (1 or 0); then the result, if there is one. What it decides is what
-- `complete` in entry.rs decides.
local now_ms, now_us = now()
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end

-- Nobody's claim holds it up.
local ruling = rule(e, false, now_ms, ARGV[1], ARGV[3])
if not STARTS[ruling] then
    return {'ended'}
end
local removable_at = now_ms + ARGV[4]
write('done', claimed_by(ruling, e, now_us), 0, removable_at)
redis.call('HSET', KEYS[1], 'discarded', ARGV[5])
if ARGV[6] then
    redis.call('HSET', KEYS[1], 'result', ARGV[6])
else
    redis.call('HDEL', KEYS[1], 'result')
end
redis.call('DEL', KEYS[2])
expire(removable_at, 0)
return {'ended'}
