use super::*;

fn component() -> blake3::Hash {
    blake3::hash(b"component")
}

#[test]
fn code_is_kept_for_its_component_and_its_engine() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), 1).unwrap();
    assert_eq!(cache.get(component()), None);
    cache.put(component(), b"code").unwrap();
    assert_eq!(cache.get(component()).as_deref(), Some(&b"code"[..]));
    assert_eq!(cache.get(blake3::hash(b"another")), None);
    assert_eq!(Cache::open(dir.path(), 2).unwrap().get(component()), None);
    assert_eq!(Cache::open(dir.path(), 1).unwrap().get(component()).as_deref(), Some(&b"code"[..]));
}

#[test]
fn torn_and_forged_code_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), 1).unwrap();
    cache.put(component(), b"some code").unwrap();
    let path = cache.path(component());
    let whole = fs::read(&path).unwrap();
    for length in [0, 5, MAC_BYTES, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(cache.get(component()), None, "{length} bytes");
    }
    let mut forged = whole.clone();
    *forged.last_mut().unwrap() ^= 1;
    fs::write(&path, &forged).unwrap();
    assert_eq!(cache.get(component()), None);
    // Another component's code under this one's name.
    cache.put(blake3::hash(b"another"), b"other code").unwrap();
    fs::copy(cache.path(blake3::hash(b"another")), &path).unwrap();
    assert_eq!(cache.get(component()), None);
    fs::write(&path, &whole).unwrap();
    assert!(cache.get(component()).is_some());
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o770)).unwrap();
    assert!(matches!(Cache::open(dir.path(), 1), Err(CacheError::OthersWrite { .. })));
}

#[test]
fn what_is_not_used_goes() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), 1).unwrap();
    cache.put(component(), b"code").unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + now() - KEPT - Duration::from_secs(60);
    File::options().write(true).open(cache.path(component())).unwrap().set_modified(old).unwrap();
    drop(Cache::open(dir.path(), 1).unwrap());
    assert_eq!(cache.get(component()), None);
}
