-- A claim. KEYS: entry, steps. ARGV: body, message id, lease, for how long an idle entry is kept (both in ms), the mark of
-- the message id.
-- What it decides is what `claim` in entry.rs decides.
local now_ms, now_us = now()
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end

local held = e and e.state == 'claimed' and e.lease_until > now_ms
local known = e and (e.removable_at > now_ms or held)
local attempts, crashes, replays, first_failed_at, dead = 0, 0, 0, '', ''
if known then
    local same_message = e.message_id == ARGV[2]
    if is_dead(e.dead, ARGV[5]) then
        return {'dead-lettered'}
    end
    dead = e.dead
    if e.state == 'dead-lettered' then
        replays = math.min(e.replays + 1, COUNT_MAX)
    elseif e.body ~= ARGV[1] then
        return {'conflict'}
    elseif e.state == 'done' then
        return {'done', same_message and '1' or '0'}
    else
        attempts, crashes, replays, first_failed_at = e.attempts, e.crashes, e.replays, e.first_failed_at
        if e.state == 'claimed' then
            if held then
                return {'busy', text(e.lease_until - now_ms)}
            end
            crashes = math.min(crashes + 1, COUNT_MAX)
        end
    end
end

attempts = math.min(attempts + 1, COUNT_MAX)
-- Grows even when the entry before was removed, since time does.
local fence = now_us
if e then
    fence = math.max(now_us, e.fence + 1)
end
local lease_until, removable_at = now_ms + ARGV[3], now_ms + ARGV[4]
redis.call('HSET', KEYS[1], 'state', 'claimed', 'fence', text(fence), 'attempts', text(attempts), 'crashes', text(crashes),
    'replays', text(replays), 'body', ARGV[1], 'message_id', ARGV[2], 'dead', dead, 'first_failed_at', first_failed_at,
    'lease_until', text(lease_until), 'removable_at', text(removable_at))
redis.call('HDEL', KEYS[1], 'discarded', 'result')
if not known then
    redis.call('DEL', KEYS[2])
end
expire(removable_at, lease_until)
return {'fresh', text(attempts), text(crashes), text(replays), text(fence), first_failed_at, known and '0' or '1'}
