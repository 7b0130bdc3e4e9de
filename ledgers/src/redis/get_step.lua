-- A step's value. KEYS: entry, steps. ARGV: fence, name.
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end
if not e or e.fence_text ~= ARGV[1] or e.state ~= 'claimed' then
    return {'stale'}
end
local value = redis.call('HGET', KEYS[2], ARGV[2])
if not value then
    return {'none'}
end
return {'step', value}
