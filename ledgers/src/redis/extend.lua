-- An extension. KEYS: entry, steps. ARGV: fence, lease in ms.
local now_ms = now()
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end
if not e or e.fence_text ~= ARGV[1] or e.state ~= 'claimed' then
    return {'stale'}
end
local lease_until = now_ms + ARGV[2]
redis.call('HSET', KEYS[1], 'lease_until', text(lease_until))
expire(e.removable_at, lease_until)
return {'extended'}
