use super::*;

#[test]
fn the_smallest_manifest_gets_every_default() {
    let manifest = Manifest::parse("name = \"a\"\ntypes = [\"t\"]").unwrap();
    assert_eq!(manifest.retry, Retry::default());
    assert_eq!(manifest.timeout, Duration::from_secs(30));
    assert_eq!(manifest.memory, ByteSize::mib(64));
}

#[test]
fn errors_name_the_key() {
    let check = |text: &str, expect: &str| {
        let error = Manifest::parse(text).unwrap_err().to_string();
        assert!(error.contains(expect), "{text:?} gave {error:?}, wanted {expect:?}");
    };
    check("name = \"a\"\ntypes = [\"t\"]\ntimeuot = \"1s\"", "timeuot");
    check("name = \"a\"\ntypes = [\"t\"]\n[retry]\nattempts = 3", "attempts");
    check("name = \"A b\"\ntypes = [\"t\"]", "`name`");
    check("name = \"a\"\ntypes = []", "`types`");
    check("name = \"a\"\ntypes = [\"t\"]\ntimeout = \"0s\"", "`timeout`");
    check("name = \"a\"\ntypes = [\"t\"]\n[retry]\nmax_attempts = 0", "`retry.max_attempts`");
    check("name = \"a\"\ntypes = [\"t\"]\n[idempotency]\nkey = \"{order\"", "4 | key = ");
    check("name = \"a\"\ntypes = [\"t\"]\ncost_key = \"tenant\"", "3 | cost_key = ");
    let keyed = |limit: &str| format!("types = ['t']\nname = 'a'\nkeyed_concurrency = {limit}");
    check(&keyed("{ key = '{/a}', max = 0 }"), "`keyed_concurrency.max` is 0: use 1 to 10000");
    check(&keyed("{ key = '{/a}', max = 10001 }"), "`keyed_concurrency.max`");
    check(&keyed("{ key = 'tenant', max = 1 }"), "no `{/pointer}`");
    check(&keyed("{ max = 1 }"), "key");
    check(&keyed("{ key = '{/a}', max = 1, scope = 'world' }"), "fleet");
    check(&keyed("{ key = '{/a}', max = 1, on = 'x' }"), "unknown field `on`");
    check(&keyed("3"), "keyed_concurrency = 3");
    let none = "types = ['t']\nname = 'a'\nqueues = ['mails']\n[idempotency]\nmode = 'none'";
    check(none, "`queues`");
    check("name = \"a\"\ntypes = [\"t\"]\n[idempotency]\nmode = \"some\"", "some");
    check("types = [\"t\"]", "name");
}
