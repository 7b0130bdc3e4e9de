-- What the scripts about documents share. KEYS[1] is a sorted set of ids, all of one score, so that
-- they are in the order of their bytes. KEYS[2] is a hash with two fields for each id: `h` and the id
-- is its head, `fence removable_at`, and `v` and the id is its value.

-- A document's fence, and when it may go; nil if there is none.
local function head(id)
    local text = redis.call('HGET', KEYS[2], 'h' .. id)
    if not text then
        return nil
    end
    local fence, removable_at = string.match(text, '^(%d+) (%d+)$')
    return fence or '0', tonumber(removable_at or 0)
end

local function remove(id)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], 'h' .. id, 'v' .. id)
end
