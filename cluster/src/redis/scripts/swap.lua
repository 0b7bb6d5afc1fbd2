-- ARGV[4], ARGV[5]            time to live, the most bytes
-- ARGV[6], ARGV[7], ARGV[8]   the key, the version that is to be there, the value
sweep(100)
if read(ARGV[6]) ~= ARGV[7] then
    return { 'outdated' }
end
return put(ARGV[6], ARGV[8], tonumber(ARGV[4]), tonumber(ARGV[5])) or { 'done' }
