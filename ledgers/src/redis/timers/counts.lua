-- How many timers there are, and how many can be taken.
return {text(redis.call('ZCARD', KEYS[1])), text(redis.call('ZCOUNT', KEYS[1], '-inf', text((now()))))}
