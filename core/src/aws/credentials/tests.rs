use super::*;

const PROFILES: &str = "[profile keys]\naws_access_key_id = AKID\naws_secret_access_key = s3cret\n\
                        [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = sso\n\
                        [profile sso]\nsso_session = corp\n\
                        [profile web]\nrole_arn = arn:aws:iam::1:role/w\nweb_identity_token_file = /token\n\
                        [profile bare]\nregion = eu-west-1\n\
                        [profile own]\nrole_arn = arn:aws:iam::1:role/o\nsource_profile = own\naws_access_key_id = AKID\n\
                        [profile a]\nrole_arn = x\nsource_profile = b\n[profile b]\nrole_arn = x\nsource_profile = a\n";

async fn profile(name: &str) -> SelectedProfile {
    let env = Env::from_slice(&[("AWS_PROFILE", name), ("AWS_CONFIG_FILE", "/config"), ("HOME", "/home")]);
    SelectedProfile::read(&env, &Fs::from_slice(&[("/config", PROFILES)])).await
}

#[tokio::test]
async fn a_profile_comes_to_its_credentials_by_the_last_of_its_sources() {
    assert_eq!(profile("keys").await.base, Some(Base::Keys));
    assert_eq!(profile("role").await.base, Some(Base::Sso));
    assert_eq!(profile("role").await.role().as_deref(), Some("arn:aws:iam::1:role/r"));
    assert_eq!(profile("web").await.base, Some(Base::WebIdentity { token_file: "/token".into() }));
    assert_eq!(profile("own").await.base, Some(Base::Keys));
    // Two that are each other's source have no end.
    assert_eq!(profile("a").await.base, None);
}

#[tokio::test]
async fn a_profile_that_brings_nothing_says_why() {
    let gone = profile("gone").await.fault().unwrap();
    assert!(gone.contains("it is not there") && gone.contains("bare") && gone.contains("keys"), "{gone}");
    assert!(profile("bare").await.fault().unwrap().contains("it has no credentials"));
    assert_eq!(profile("keys").await.fault(), None);
}

#[test]
fn a_process_says_its_status_and_its_last_line() {
    let check = |stderr: &str, expect: &str| {
        let reason =
            format!("Error retrieving credentials: external process exited with code exit status: 3. Stderr: {stderr}");
        assert_eq!(of_a_process(&reason), expect);
    };
    check("a hint\nsealed\n\n", "it ended with exit status: 3: sealed");
    check(" \n", "it ended with exit status: 3, and said nothing on stderr");
    check("tab\there\u{1b}[0m", "it ended with exit status: 3: tab here [0m");
    let long = "x".repeat(1_000);
    assert_eq!(of_a_process(&long).chars().count(), REASON_MAX_CHARS + 1);
}

#[tokio::test]
async fn what_the_environment_says_does_not_change_while_a_process_runs() {
    let error = CredentialsError::not_loaded("x");
    let (env, fs) = (Env::from_slice(&[]), Fs::from_slice(&[]));
    assert_eq!(
        explain(&error, &env, &fs).await,
        CredentialsFault::Other { reason: "the credential provider was not enabled: x".into() }
    );
    assert!(!CredentialsFault::Nothing { profile: "default".into(), instance: String::new() }.may_pass());
    let sso = CredentialsFault::SsoSession { profile: "dev".into(), reason: "expired".into() };
    assert!(sso.may_pass() && sso.to_string().ends_with("run `aws sso login --profile dev`"), "{sso}");
}
