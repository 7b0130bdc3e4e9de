-- How a key's work ended. KEYS: entry, steps.
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end
if not e or e.state == 'claimed' or e.state == 'released' then
    return {'no'}
end
if e.state == 'dead-lettered' then
    return {'dead-lettered'}
end
local answer = {'done', redis.call('HGET', KEYS[1], 'discarded') or '0'}
local result = redis.call('HGET', KEYS[1], 'result')
if result then
    table.insert(answer, result)
end
return answer
