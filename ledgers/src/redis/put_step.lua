-- Records a step. KEYS: entry, steps. ARGV: fence, name, value.
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end
if not e or e.fence_text ~= ARGV[1] or e.state ~= 'claimed' then
    return {'stale'}
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
expire(e.removable_at, e.lease_until)
return {'put'}
