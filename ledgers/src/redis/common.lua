-- What the scripts about entries share; it stands before each of them, behind clock.lua. KEYS[1] is
-- the entry, KEYS[2] its steps.

-- What u32 holds.
local COUNT_MAX = 4294967295

-- The entry with its numbers; nil if there is none. `damage` names what makes no sense.
local function entry(key)
    local names = {'state', 'fence', 'attempts', 'crashes', 'replays', 'body', 'message_id', 'dead', 'first_failed_at',
        'lease_until', 'removable_at'}
    local values = redis.call('HMGET', key, unpack(names))
    local e, found = {}, false
    for i, name in ipairs(names) do
        e[name] = values[i]
        found = found or values[i]
    end
    if not found and redis.call('EXISTS', key) == 0 then
        return nil
    end
    for _, name in ipairs(names) do
        if not e[name] then
            return {damage = name .. ' is missing'}
        end
    end
    e.fence_text = e.fence
    for _, name in ipairs({'fence', 'attempts', 'crashes', 'replays', 'lease_until', 'removable_at'}) do
        if not string.match(e[name], '^%d+$') then
            return {damage = name .. ' is not a number'}
        end
        e[name] = tonumber(e[name])
    end
    if not ({claimed = 1, released = 1, done = 1, ['dead-lettered'] = 1})[e.state] then
        return {damage = 'unknown state: ' .. e.state}
    end
    return e
end

-- What stands for a message among the dead has so many bytes.
local MARK_BYTES = 8

-- Whether a message's mark is among those of the dead.
local function is_dead(dead, mark)
    for at = 1, #dead, MARK_BYTES do
        if string.sub(dead, at, at + MARK_BYTES - 1) == mark then
            return true
        end
    end
    return false
end

-- From when they may be removed, and not while a lease lasts, the entry counts as unknown to a claim. Redis removes it and
-- its steps some time later, so that a finish whose answer was lost may be said again.
local GRACE_MS = 60000
local function expire(removable_at, lease_until)
    local at = text(math.max(removable_at, lease_until) + GRACE_MS)
    redis.call('PEXPIREAT', KEYS[1], at)
    redis.call('PEXPIREAT', KEYS[2], at)
end

-- The words for what a claim makes of an entry that let a run start.
local STARTS = {new = true, replayed = true, released = true, crashed = true}

-- The word for what a claim makes of an entry. `held` says whether a claim on it lasts.
local function rule(e, held, now_ms, body, mark)
    if not e or (e.removable_at <= now_ms and not held) then
        return 'new'
    elseif is_dead(e.dead, mark) then
        return 'dead-lettered'
    elseif e.state == 'dead-lettered' then
        return 'replayed'
    elseif e.body ~= body then
        return 'conflict'
    elseif e.state ~= 'claimed' then
        return e.state
    end
    return held and 'busy' or 'crashed'
end

-- What a claim takes over from the entry, with its own attempt counted.
local function claimed_by(ruling, e, now_us)
    local claimed = {attempts = 0, crashes = 0, replays = 0, first_failed_at = '', dead = '', is_new = ruling == 'new'}
    if not claimed.is_new then
        claimed.replays, claimed.dead = e.replays, e.dead
    end
    if ruling == 'replayed' then
        claimed.replays = math.min(e.replays + 1, COUNT_MAX)
    elseif ruling == 'released' or ruling == 'crashed' then
        claimed.attempts, claimed.crashes, claimed.first_failed_at = e.attempts, e.crashes, e.first_failed_at
    end
    if ruling == 'crashed' then
        claimed.crashes = math.min(e.crashes + 1, COUNT_MAX)
    end
    claimed.attempts = math.min(claimed.attempts + 1, COUNT_MAX)
    -- Grows even when the entry before was removed, since time does.
    claimed.fence = e and math.max(now_us, e.fence + 1) or now_us
    return claimed
end

-- Writes an entry for the body ARGV[1] and the message id ARGV[2].
local function write(state, claimed, lease_until, removable_at)
    redis.call('HSET', KEYS[1], 'state', state, 'fence', text(claimed.fence), 'attempts', text(claimed.attempts),
        'crashes', text(claimed.crashes), 'replays', text(claimed.replays), 'body', ARGV[1], 'message_id', ARGV[2],
        'dead', claimed.dead, 'first_failed_at', claimed.first_failed_at, 'lease_until', text(lease_until),
        'removable_at', text(removable_at))
end
