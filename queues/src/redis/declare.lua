-- Makes a stream and its group. What is there stays as it is.
--
-- ARGV: group, or '' for a stream alone.
-- Answers: what the key holds otherwise, or an empty text.
local kind = redis.call('TYPE', stream)['ok']
if kind ~= 'none' and kind ~= 'stream' then return kind end
if group == '' then
  if kind == 'none' then
    -- Redis makes a stream without entries for a group only.
    redis.call('XGROUP', 'CREATE', stream, 'wasq-declare', '0', 'MKSTREAM')
    redis.call('XGROUP', 'DESTROY', stream, 'wasq-declare')
  end
  return ''
end
local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
if made['err'] and not string.find(made['err'], 'BUSYGROUP') then return made end
return ''
