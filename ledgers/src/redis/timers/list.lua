-- Timers in their order. ARGV: how many, the place behind which they begin: when it can be taken,
-- and its id. Answers six words for each: when it can be taken, id, due, queue, bytes, whether a
-- host has it in hand. One that cannot be read has none.
local now_ms = now()

-- Whether a text comes behind another by its bytes. Lua's own comparison follows the server's
-- locale.
local function is_behind(one, other)
    for at = 1, math.min(#one, #other) do
        local a, b = string.byte(one, at), string.byte(other, at)
        if a ~= b then
            return a > b
        end
    end
    return #one > #other
end

-- Where the list begins is looked for among those of one moment, which are in the order of their
-- bytes.
local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[2])
local high = redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[2])
while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(redis.call('ZRANGE', KEYS[1], middle, middle)[1], ARGV[3]) then
        high = middle
    else
        low = middle + 1
    end
end

local answer = {}
if tonumber(ARGV[1]) > 0 then
    local found = redis.call('ZRANGE', KEYS[1], low, low + ARGV[1] - 1, 'WITHSCORES')
    for at = 1, #found, 2 do
        local id, look = found[at], tonumber(found[at + 1])
        local h = head(id)
        if h and not h.damage then
            local bytes = redis.call('HSTRLEN', KEYS[2], 'm' .. id)
            local held = h.taken and look > now_ms
            for _, word in ipairs({text(look), id, h.due, h.queue, text(bytes), held and '1' or '0'}) do
                table.insert(answer, word)
            end
        end
    end
end
return answer
