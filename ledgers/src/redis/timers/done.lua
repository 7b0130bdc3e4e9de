-- Removes a timer. ARGV: id, fence.
local h = head(ARGV[1])
if not h then
    return {'gone'}
end
if h.damage then
    return {'damaged', h.damage}
end
if h.fence ~= ARGV[2] then
    return {'stale'}
end
remove(ARGV[1])
return {'done'}
