-- What every script begins with: a bucket and its parts.
--
-- ARGV[1]  what the bucket's keys begin with, B below
-- ARGV[2]  the set of all buckets
-- ARGV[3]  the bucket's name in it
--
--   B v:<key>  "<version> <expires> <value>"; <expires> in milliseconds since 1970, 0 for never
--   B i        the keys, in order
--   B x        the keys that expire, by when
--   B s        what each key counts for: its own bytes and its value's
--   B u        `bytes` and `keys` of the whole bucket
--   B n        the last version
local B = ARGV[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Whole numbers as text: Lua's own way changes those of 15 digits and more.
local function text(number)
    return string.format('%.0f', number)
end

local function remove(key)
    local size = redis.call('HGET', B .. 's', key)
    if not size then
        return
    end
    redis.call('DEL', B .. 'v:' .. key)
    redis.call('HDEL', B .. 's', key)
    redis.call('ZREM', B .. 'i', key)
    redis.call('ZREM', B .. 'x', key)
    redis.call('HINCRBY', B .. 'u', 'bytes', '-' .. size)
    if redis.call('HINCRBY', B .. 'u', 'keys', -1) == 0 then
        redis.call('SREM', ARGV[2], ARGV[3])
    end
end

-- Redis forgets values by itself when their time is over; this does the accounts. Whether that was all of them.
local function sweep(most)
    local past = redis.call('ZRANGEBYSCORE', B .. 'x', '-inf', text(now), 'LIMIT', 0, most)
    for _, key in ipairs(past) do
        remove(key)
    end
    return #past < most
end

-- The version and the value of a key; '0' where nothing is there.
local function read(key)
    local found = redis.call('GET', B .. 'v:' .. key)
    if not found then
        return '0', nil
    end
    local version, expires, value = string.match(found, '^(%d+) (%d+) (.*)$')
    if tonumber(expires) > 0 and tonumber(expires) <= now then
        return '0', nil
    end
    return version, value
end

-- Writes a value, or answers why not.
local function put(key, value, ttl, limit)
    local function more()
        local before = tonumber(redis.call('HGET', B .. 's', key) or '0')
        return #key + #value - before, tonumber(redis.call('HGET', B .. 'u', 'bytes') or '0')
    end
    local added, used = more()
    if added > 0 and used + added > limit then
        sweep(10000)
        added, used = more()
        if added > 0 and used + added > limit then
            return { 'full', text(used), text(added) }
        end
    end
    local expires = 0
    if ttl > 0 then
        expires = now + ttl
    end
    local stored = text(redis.call('INCR', B .. 'n')) .. ' ' .. text(expires) .. ' ' .. value
    if ttl > 0 then
        redis.call('SET', B .. 'v:' .. key, stored, 'PX', text(ttl))
        redis.call('ZADD', B .. 'x', text(expires), key)
    else
        redis.call('SET', B .. 'v:' .. key, stored)
        redis.call('ZREM', B .. 'x', key)
    end
    if redis.call('HSET', B .. 's', key, #key + #value) == 1 then
        redis.call('ZADD', B .. 'i', 0, key)
        if redis.call('HINCRBY', B .. 'u', 'keys', 1) == 1 then
            redis.call('SADD', ARGV[2], ARGV[3])
        end
    end
    redis.call('HINCRBY', B .. 'u', 'bytes', text(added))
    return nil
end
