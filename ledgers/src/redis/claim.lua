-- A claim. KEYS: entry, steps. ARGV: body, message id, its mark, lease, for how long an idle entry
-- is kept (both in ms). What it decides is what `claim` in entry.rs decides.
local now_ms, now_us = now()
local e = entry(KEYS[1])
if e and e.damage then
    return {'damaged', e.damage}
end

local held = e and e.state == 'claimed' and e.lease_until > now_ms
local ruling = rule(e, held, now_ms, ARGV[1], ARGV[3])
if ruling == 'done' then
    return {'done', e.message_id == ARGV[2] and '1' or '0'}
elseif ruling == 'busy' then
    return {'busy', text(e.lease_until - now_ms)}
elseif not STARTS[ruling] then
    return {ruling}
end

local lease_until, removable_at = now_ms + ARGV[4], now_ms + ARGV[5]
local claimed = claimed_by(ruling, e, now_us)
write('claimed', claimed, lease_until, removable_at)
redis.call('HDEL', KEYS[1], 'discarded', 'result')
if claimed.is_new then
    redis.call('DEL', KEYS[2])
end
expire(removable_at, lease_until)
return {'fresh', text(claimed.attempts), text(claimed.crashes), text(claimed.replays), text(claimed.fence),
    claimed.first_failed_at, claimed.is_new and '1' or '0'}
