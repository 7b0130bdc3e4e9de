use super::*;
use crate::config::SecretSource;

fn secrets(lines: &str) -> Secrets {
    Secrets::load(&toml::from_str::<BTreeMap<String, SecretSource>>(lines).unwrap()).unwrap()
}

fn value(secrets: &Secrets, name: &str) -> Option<String> {
    secrets.value(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn a_secret_that_was_never_fetched_is_missing_and_one_that_was_keeps_its_last_value() {
    let secrets = secrets("TOKEN = { ssm = '/mail/token' }");
    let location = AwsSecretLocation::Ssm("/mail/token".into());
    assert_eq!(secrets.missing().len(), 1);
    secrets.note("TOKEN", &location, &Err("no answer in time".into()));
    assert_eq!(value(&secrets, "TOKEN"), None);
    assert_eq!(secrets.missing(), ["secret TOKEN: no answer in time"]);
    secrets.note("TOKEN", &location, &Ok(b"first\n".to_vec()));
    assert_eq!(value(&secrets, "TOKEN").unwrap(), "first");
    for failed in [Err("no answer in time".into()), Ok(Vec::new()), Ok(b"a\nb".to_vec())] {
        secrets.note("TOKEN", &location, &failed);
        assert_eq!(value(&secrets, "TOKEN").unwrap(), "first", "{failed:?}");
        assert!(secrets.missing().is_empty(), "{failed:?}");
    }
    secrets.note("TOKEN", &location, &Ok(b"second".to_vec()));
    assert_eq!(value(&secrets, "TOKEN").unwrap(), "second");
    assert_eq!(format!("{secrets:?}"), "{\"TOKEN\"}");
}

#[test]
fn the_fields_of_one_secret_are_asked_for_once() {
    let secrets = secrets(
        "USER = { secretsmanager = 'mail', field = 'user' }\nPASSWORD = { secretsmanager = 'mail', field = 'password' }\n\
             PORT = { secretsmanager = 'mail', field = 'port' }\nLIKE = { ssm = 'mail' }",
    );
    let location = AwsSecretLocation::SecretsManager("mail".into());
    assert_eq!(secrets.locations().keys().collect::<Vec<_>>(), [&location, &AwsSecretLocation::Ssm("mail".into())]);
    let answer = Ok(br#"{"user":"ada","password":"hunter2","port":25}"#.to_vec());
    for name in &secrets.locations()[&location] {
        secrets.note(name, &location, &answer);
    }
    let values = ["USER", "PASSWORD", "PORT", "LIKE"].map(|name| value(&secrets, name));
    assert_eq!(values, [Some("ada".into()), Some("hunter2".into()), Some("25".into()), None]);
}

#[test]
fn what_is_wrong_with_a_field_is_said_without_the_secret() {
    let location = AwsSecretLocation::SecretsManager("mail".into());
    let check = |text: &str, expect: &str| {
        let error = picked(text.as_bytes(), "key", &location).unwrap_err();
        assert!(error.contains(expect) && error.contains("`mail`") && !error.contains("hunter2"), "{error}");
    };
    check("hunter2", "no JSON object");
    check("\"hunter2\"", "no JSON object");
    check(r#"{"kye":"hunter2"}"#, "no key `key`");
    check(r#"{"key":["hunter2"]}"#, "neither a text nor a number");
}
