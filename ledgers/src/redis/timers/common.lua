-- What the scripts about timers share. KEYS[1] is a sorted set: ids, by when they can be taken.
-- KEYS[2] is a hash with two fields for each id: `h` and the id is its head, `due fence taken
-- queue`, and `m` and the id is its message.

-- A moment: the first word if there is one, else so much from now; not later than the end of time.
local function moment(now_ms, at, wait_ms, end_ms)
    local due = at ~= '' and tonumber(at) or now_ms + wait_ms
    return math.min(due, tonumber(end_ms))
end

-- A timer's head; nil if there is none. `damage` names what makes no sense.
local function head(id)
    local text = redis.call('HGET', KEYS[2], 'h' .. id)
    if not text then
        return nil
    end
    local due, fence, taken, queue = string.match(text, '^(%d+) (%d+) ([01]) (.*)$')
    if not due then
        return {damage = 'its head is ' .. string.sub(text, 1, 100)}
    end
    return {due = due, fence = fence, taken = taken == '1', queue = queue}
end

local function put(id, look, due, fence, taken, queue)
    redis.call('ZADD', KEYS[1], look, id)
    redis.call('HSET', KEYS[2], 'h' .. id, due .. ' ' .. fence .. ' ' .. (taken and '1' or '0') .. ' ' .. queue)
end

local function remove(id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], 'h' .. id, 'm' .. id)
end

-- The fence after another one.
local function next_fence(now_us, fence)
    return text(math.max(now_us, tonumber(fence) + 1))
end

-- Whether a host has it in hand.
local function is_held(id, h, now_ms)
    local look = redis.call('ZSCORE', KEYS[1], id)
    return h.taken and look and tonumber(look) > now_ms
end
