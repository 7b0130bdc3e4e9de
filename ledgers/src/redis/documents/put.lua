-- Writes a document. ARGV: id, the fence that it has or nothing, value, for how long it is kept.
local now_ms, now_us = now()
for _, id in ipairs(redis.call('ZRANDMEMBER', KEYS[1], 2)) do
    local fence, removable_at = head(id)
    if not fence or removable_at <= now_ms then
        remove(id)
    end
end

local id = ARGV[1]
local fence, removable_at = head(id)
local is_there = fence and removable_at > now_ms
if (is_there and fence or '') ~= ARGV[2] then
    return {'stale'}
end
local next_fence = text(math.max(now_us, tonumber(fence or 0) + 1))
local kept_until = text(math.min(now_ms + ARGV[4], 2 ^ 51))
redis.call('ZADD', KEYS[1], 0, id)
redis.call('HSET', KEYS[2], 'h' .. id, next_fence .. ' ' .. kept_until, 'v' .. id, ARGV[3])
return {'put', next_fence}
