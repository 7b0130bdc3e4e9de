-- Takes what is due. ARGV: lease in ms, how many at most, how many bytes of messages at most.
-- Answers the time, and in how many ms there is more, or nothing if nothing waits; then five words
-- for each timer: id, fence, due, queue, message. Of one that cannot be read these are id, nothing,
-- and what is wrong with it.
local now_ms, now_us = now()
local answer, bytes = {text(now_ms), ''}, 0
local until_ms = text(now_ms + ARGV[1])
for n, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now_ms), 'LIMIT', 0, ARGV[2])) do
    bytes = bytes + redis.call('HSTRLEN', KEYS[2], 'm' .. id)
    if n > 1 and bytes > tonumber(ARGV[3]) then
        break
    end
    local h = head(id)
    local message = redis.call('HGET', KEYS[2], 'm' .. id)
    local words
    if h and not h.damage and message then
        local fence = next_fence(now_us, h.fence)
        put(id, until_ms, h.due, fence, true, h.queue)
        words = {id, fence, h.due, h.queue, message}
    else
        redis.call('ZADD', KEYS[1], until_ms, id)
        words = {id, '', h and h.damage or 'a part of it is gone', '', ''}
    end
    for _, word in ipairs(words) do
        table.insert(answer, word)
    end
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if first[2] then
    answer[2] = text(math.max(tonumber(first[2]) - now_ms, 0))
end
return answer
