-- ARGV[4], ARGV[5], ARGV[6]  from where and to where, as ZRANGEBYLEX has it; the most keys
sweep(10000)
local keys = redis.call('ZRANGEBYLEX', B .. 'i', ARGV[4], ARGV[5], 'LIMIT', 0, ARGV[6])
local live = {}
for _, key in ipairs(keys) do
    local expires = redis.call('ZSCORE', B .. 'x', key)
    if not expires or tonumber(expires) > now then
        live[#live + 1] = key
    end
end
return { tostring(#keys), keys[#keys] or '', live }
