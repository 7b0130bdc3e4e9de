use super::*;

fn file(path: &Path) -> BTreeMap<String, SecretSource> {
    [("TOKEN".to_owned(), SecretSource { file: Some(path.to_owned()), ..SecretSource::default() })].into()
}

fn value(secrets: &Secrets) -> String {
    String::from_utf8(secrets.value("TOKEN").unwrap().to_vec()).unwrap()
}

#[test]
fn a_file_is_read_again_when_it_is_stale_and_keeps_its_value_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "first\n").unwrap();
    let secrets = Secrets::load(&file(&path)).unwrap();
    let started_at = clock::now();
    assert_eq!(value(&secrets), "first");

    std::fs::write(&path, "second\r\n").unwrap();
    secrets.reread(started_at);
    assert_eq!(value(&secrets), "first", "it was just read");
    let later = started_at + REREAD_AFTER;
    assert!(secrets.is_stale(later));
    secrets.reread(later);
    assert_eq!(value(&secrets), "second");
    assert!(!secrets.is_stale(later));

    for (content, why) in [("", "empty"), ("a\nb", "not a header's value")] {
        std::fs::write(&path, content).unwrap();
        secrets.reread(later + REREAD_AFTER);
        assert_eq!(value(&secrets), "second", "{why}");
    }
    std::fs::remove_file(&path).unwrap();
    secrets.reread(later + 3 * REREAD_AFTER);
    assert_eq!(value(&secrets), "second");
    assert_eq!(format!("{secrets:?}"), "{\"TOKEN\"}");
}

#[test]
fn a_variable_of_the_environment_is_a_secret() {
    let source = SecretSource { env: Some("PATH".into()), ..SecretSource::default() };
    let secrets = Secrets::load(&[("TOKEN".to_owned(), source)].into()).unwrap();
    assert_eq!(value(&secrets), std::env::var("PATH").unwrap());
    assert!(!secrets.is_stale(clock::now() + Duration::from_secs(3_600)), "it does not change");
}

#[test]
fn a_secret_that_is_missing_is_named_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let check = |source: SecretSource, expect: &str| {
        let error = Secrets::load(&[("TOKEN".to_owned(), source)].into()).unwrap_err().to_string();
        assert!(error.starts_with("secret `TOKEN`: ") && error.contains(expect), "{error}");
    };
    let of_env = SecretSource { env: Some("WASQ_TEST_NOT_SET".into()), ..SecretSource::default() };
    check(of_env, "WASQ_TEST_NOT_SET is not set");
    let path = dir.path().join("token");
    let of_file = || SecretSource { file: Some(path.clone()), ..SecretSource::default() };
    check(of_file(), path.to_str().unwrap());
    for (content, expect) in [("\n", "is empty"), ("a\nb", "line end"), (&"x".repeat(20_000), "16384 bytes")] {
        std::fs::write(&path, content).unwrap();
        check(of_file(), expect);
    }
    check(SecretSource { file: Some(dir.path().to_owned()), ..SecretSource::default() }, "not a regular file");
}
