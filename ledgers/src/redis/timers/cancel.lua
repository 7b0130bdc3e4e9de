-- Removes a timer, whoever has it. ARGV: id.
local now_ms = now()
local h = head(ARGV[1])
local known = h or redis.call('ZSCORE', KEYS[1], ARGV[1])
local held = h and not h.damage and is_held(ARGV[1], h, now_ms)
remove(ARGV[1])
return {not known and 'gone' or held and 'taken' or 'waiting'}
