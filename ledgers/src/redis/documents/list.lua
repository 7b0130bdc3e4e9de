-- Documents in the order of their ids. ARGV: from where, to where, as ZRANGEBYLEX has them, and how
-- many. Answers two words for each: id and value.
local now_ms = now()
local answer, from = {}, ARGV[1]
local limit = tonumber(ARGV[3])
while limit > 0 do
    local ids = redis.call('ZRANGEBYLEX', KEYS[1], from, ARGV[2], 'LIMIT', 0, limit)
    for _, id in ipairs(ids) do
        local fence, removable_at = head(id)
        if fence and removable_at > now_ms then
            table.insert(answer, id)
            table.insert(answer, redis.call('HGET', KEYS[2], 'v' .. id) or '')
            limit = limit - 1
        end
        from = '(' .. id
    end
    if #ids == 0 then
        break
    end
end
return answer
