-- Whether anything is recorded. KEYS: entry, steps.
return {redis.call('EXISTS', KEYS[1]) == 1 and 'known' or 'new'}
