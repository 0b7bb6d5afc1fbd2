-- ARGV[4], ARGV[5]  time to live in milliseconds, 0 for ever; the most bytes
-- ARGV[6..]         for each write three: 'set' or 'delete', the key, the value
local ttl, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
sweep(100)
for at = 6, #ARGV, 3 do
    if ARGV[at] == 'delete' then
        remove(ARGV[at + 1])
    else
        local refused = put(ARGV[at + 1], ARGV[at + 2], ttl, limit)
        if refused then
            return refused
        end
    end
end
return { 'done' }
