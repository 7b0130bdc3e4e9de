-- Numbers and time; it stands before every script.

-- Lua's own conversion rounds to 14 digits.
local function text(number)
    return string.format('%.0f', number)
end

-- The server's time, in ms and in µs since 1970. Doubles hold the latter exactly until the year
-- 2255.
local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000), time[1] * 1000000 + time[2]
end
