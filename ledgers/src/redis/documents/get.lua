-- A document: its fence and its value, or no word. ARGV: id.
local now_ms = now()
local fence, removable_at = head(ARGV[1])
if not fence or removable_at <= now_ms then
    return {}
end
return {fence, redis.call('HGET', KEYS[2], 'v' .. ARGV[1]) or ''}
