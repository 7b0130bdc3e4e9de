use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::provider::future;

use super::*;

/// Gives credentials that are good for so long, or nothing.
#[derive(Debug, Default)]
struct Source {
    asked: AtomicUsize,
    good_for: Option<Duration>,
    broken: std::sync::atomic::AtomicBool,
}

#[derive(Clone, Debug)]
struct Shared(Arc<Source>);

impl ProvideCredentials for Shared {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let nth = self.0.asked.fetch_add(1, Ordering::SeqCst) + 1;
        if self.0.broken.load(Ordering::SeqCst) {
            let answer = ErrorMetadata::builder().code("AccessDenied").message("not you").build();
            return future::ProvideCredentials::ready(Err(CredentialsError::provider_error(answer)));
        }
        let end = self.0.good_for.map(|left| UNIX_EPOCH + Duration::from_millis(clock::unix_ms().0) + left);
        future::ProvideCredentials::new(async move {
            tokio::task::yield_now().await;
            Ok(Credentials::new(format!("ID{nth}"), "secret", None, end, "test"))
        })
    }
}

fn identity(source: &Arc<Source>, role: Option<Role>) -> Arc<Identity> {
    let sdk = Arc::new(Sdk { aws: AwsConfig::default(), read: OnceCell::new() });
    let identity = Identity::new(sdk, role);
    identity.fetching.try_lock().unwrap().provider = Some(SharedCredentialsProvider::new(Shared(source.clone())));
    Arc::new(identity)
}

/// Waits for what is being fetched.
async fn fetched(identity: &Identity) {
    drop(identity.fetching.lock().await);
}

async fn id(identity: &Arc<Identity>) -> Result<String, String> {
    let credentials = identity.credentials().await.map_err(|error| error.to_string())?;
    Ok(credentials.access_key_id().to_owned())
}

#[tokio::test(start_paused = true)]
async fn many_requests_fetch_credentials_once_and_again_before_their_end() {
    let source = Arc::new(Source { good_for: Some(Duration::from_secs(3_600)), ..Source::default() });
    let identity = identity(&source, None);
    let (one, two, three) = tokio::join!(id(&identity), id(&identity), id(&identity));
    assert_eq!([one, two, three], ["ID1", "ID1", "ID1"].map(|id| Ok(id.to_owned())));
    tokio::time::advance(Duration::from_secs(54 * 60)).await;
    assert_eq!(id(&identity).await.unwrap(), "ID1");
    tokio::time::advance(Duration::from_secs(2 * 60)).await;
    // All go on with what still serves, while the next are fetched once.
    let (one, two) = tokio::join!(id(&identity), id(&identity));
    assert_eq!([one, two], ["ID1", "ID1"].map(|id| Ok(id.to_owned())));
    fetched(&identity).await;
    assert_eq!((id(&identity).await.unwrap().as_str(), source.asked.load(Ordering::SeqCst)), ("ID2", 2));
}

#[tokio::test(start_paused = true)]
async fn the_last_credentials_serve_until_their_end_when_none_are_given() {
    let source = Arc::new(Source { good_for: Some(Duration::from_secs(3_600)), ..Source::default() });
    let identity = identity(&source, Some(Role::new("arn:aws:iam::123456789012:role/r", "s")));
    id(&identity).await.unwrap();
    source.broken.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(58 * 60)).await;
    assert_eq!(id(&identity).await.unwrap(), "ID1");
    fetched(&identity).await;
    assert_eq!(id(&identity).await.unwrap(), "ID1");
    fetched(&identity).await;
    assert_eq!(source.asked.load(Ordering::SeqCst), 2, "a failure is not repeated at once");
    tokio::time::advance(Duration::from_secs(2 * 60)).await;
    let error = identity.credentials().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the role arn:aws:iam::123456789012:role/r was not given to it: AccessDenied: not you"
    );
    assert_eq!(error.dependency(), "role arn:aws:iam::123456789012:role/r");
    source.broken.store(false, Ordering::SeqCst);
    tokio::time::advance(RETRY_AFTER).await;
    assert_eq!(id(&identity).await.unwrap(), "ID4");
}

#[tokio::test(start_paused = true)]
async fn credentials_without_an_end_are_looked_for_again_too() {
    let source = Arc::new(Source::default());
    let identity = identity(&source, None);
    assert_eq!(id(&identity).await.unwrap(), "ID1");
    tokio::time::advance(GOOD_FOR).await;
    assert_eq!(id(&identity).await.unwrap(), "ID1");
    fetched(&identity).await;
    assert_eq!(id(&identity).await.unwrap(), "ID2");
}

#[test]
fn one_identity_is_made_for_each_role_and_session() {
    let all = Identities::new(AwsConfig::default());
    let of = |arn: &str, session: &str| all.identity(Some(Role::new(arn, session)));
    assert!(Arc::ptr_eq(&all.identity(None), &all.clone().identity(None)));
    assert!(Arc::ptr_eq(&of("a", "s"), &of("a", "s")));
    assert!(!Arc::ptr_eq(&of("a", "s"), &of("a", "t")));
    assert!(!Arc::ptr_eq(&of("a", "s"), &of("b", "s")));
}

#[test]
fn the_name_of_a_session_is_one_that_sts_takes() {
    assert_eq!(Role::new("r", "wasq-make thumbnails/é").session, "wasq-make-thumbnails--");
    assert_eq!(Role::new("r", &"x".repeat(100)).session.len(), 64);
}

#[test]
fn a_chain_that_comes_to_its_end_is_told_from_a_source_that_fails() {
    let fault = CredentialsFault::Nothing { profile: "default".into(), instance: "not asked".into() };
    let explained = CredentialsError::provider_error(fault.clone());
    let of_a_role = CredentialsError::provider_error(CredentialsError::provider_error(fault.clone()));
    assert_eq!(reason(&explained), NoAnswer::Credentials(fault.clone()));
    assert_eq!(reason(&of_a_role), NoAnswer::Credentials(fault));
    assert!(NoIdentity::Own(reason(&explained)).to_string().contains("AWS_ACCESS_KEY_ID"));
}
