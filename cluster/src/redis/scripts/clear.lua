-- ARGV[4]  the most keys to delete at once
local keys = redis.call('ZRANGE', B .. 'i', 0, tonumber(ARGV[4]) - 1)
for _, key in ipairs(keys) do
    remove(key)
end
return #keys
