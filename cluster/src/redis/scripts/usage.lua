sweep(10000)
return { redis.call('HGET', B .. 'u', 'keys') or '0', redis.call('HGET', B .. 'u', 'bytes') or '0' }
