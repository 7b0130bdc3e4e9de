-- The end of a claim. KEYS: entry, steps. ARGV: fence, how it ends (done, failed, released, dead-lettered), time to live in
-- ms, and of these one: the moment of the failure, the dead letter's message id, whether the handler ran to its end,
-- discarded (1 or 0); then the result, if
-- there is one, or the mark of the dead letter's message id, and how many marks are kept.
-- What it decides is what `finish` in entry.rs decides.
local now_ms = now()
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end
if not e or e.fence_text ~= ARGV[1] then
    return {'stale'}
end

local ends = ARGV[2]
local state = ends
if ends == 'failed' then
    state = 'released'
end
if e.state ~= 'claimed' then
    -- It may have been said before.
    return {e.state == state and 'ended' or 'stale'}
end

local removable_at = now_ms + ARGV[3]
local changes = {'state', state, 'removable_at', text(removable_at), 'lease_until', '0'}
local function change(name, value)
    table.insert(changes, name)
    table.insert(changes, value)
end
if ends == 'done' then
    change('discarded', ARGV[4])
    if ARGV[5] then
        change('result', ARGV[5])
    end
elseif ends == 'failed' then
    change('crashes', '0')
    if e.first_failed_at == '' then
        change('first_failed_at', ARGV[4])
    end
elseif ends == 'released' then
    change('attempts', text(math.max(e.attempts - 1, 0)))
    if ARGV[4] == '1' then
        change('crashes', '0')
    end
else
    change('message_id', ARGV[4])
    change('dead', string.sub(e.dead .. ARGV[5], -MARK_BYTES * ARGV[6]))
    change('attempts', '0')
    change('crashes', '0')
    change('first_failed_at', '')
end
redis.call('HSET', KEYS[1], unpack(changes))
if ends == 'done' then
    redis.call('DEL', KEYS[2])
end
expire(removable_at, 0)
return {'ended'}
