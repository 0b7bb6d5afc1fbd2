-- ARGV[4], ARGV[5]  time to live, the most bytes
-- ARGV[6], ARGV[7]  the key, what to add
sweep(100)
local _, value = read(ARGV[6])
-- Redis itself adds: Lua's numbers have 53 bits.
local scratch = B .. 'c'
redis.call('SET', scratch, value or '0')
local added = redis.pcall('INCRBY', scratch, ARGV[7])
local sum = redis.call('GET', scratch)
redis.call('DEL', scratch)
if type(added) == 'table' and added.err then
    return { 'not a number' }
end
return put(ARGV[6], sum, tonumber(ARGV[4]), tonumber(ARGV[5])) or { 'done', sum }
