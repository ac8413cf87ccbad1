//! The directory of tokens: durable changes, limits, what a crash or a stranger
//! left there.

use super::directory::{Directory, DirectoryError, MAX_TOKEN};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use gust_config::options::trust::DirectoryResolver;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

const NOW: i64 = 1_000_000_000_000;

/// A valid public account key made of `n`.
pub fn account(n: u8) -> String {
    let mut raw = vec![0];
    raw.extend_from_slice(&[n; 32]);
    let mut crc: u16 = 0;
    for byte in &raw {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    raw.extend_from_slice(&crc.to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

fn token(id: &str, unique: &str, issued: i64, expires: i64) -> String {
    let json =
        format!(r#"{{"jti":"{unique}","sub":"{id}","iat":{issued},"exp":{expires},"nats":{{}}}}"#);
    format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(json.as_bytes()))
}

fn options(dir: &Path) -> DirectoryResolver {
    DirectoryResolver { dir: dir.to_str().unwrap().to_owned(), ..DirectoryResolver::default() }
}

fn full(dir: &Path) -> Directory {
    Directory::full(&options(dir), NOW).unwrap()
}

fn file(dir: &TempDir, id: &str, end: &str) -> std::path::PathBuf {
    dir.path().join(format!("{id}{end}"))
}

#[test]
fn what_is_saved_is_there_after_opening_again() {
    let dir = TempDir::new().unwrap();
    let nested = dir.path().join("a/b");
    let (one, two) = (account(1), account(2));
    let store = full(&nested);
    assert!(store.save(&one, &token(&one, "x", 1, 0), NOW).unwrap());
    assert!(!store.save(&one, &token(&one, "x", 1, 0), NOW).unwrap(), "nothing changed");
    assert!(store.save(&two, &token(&two, "y", 1, 0), NOW).unwrap());
    let sum = store.sum();
    let again = full(&nested);
    assert_eq!(again.ids(), [one.clone(), two.clone()]);
    assert_eq!(again.sum(), sum);
    assert_eq!(again.load(&one, NOW).unwrap().unwrap(), token(&one, "x", 1, 0));
    assert!(again.save(&one, &token(&one, "z", 2, 0), NOW).unwrap());
    assert_ne!(again.sum(), sum);
    assert_eq!(again.load(&account(3), NOW).unwrap(), None);
}

#[test]
fn older_tokens_do_not_replace_newer_ones() {
    let dir = TempDir::new().unwrap();
    let id = account(1);
    let store = full(dir.path());
    assert!(store.save_if_newer(&id, &token(&id, "b", 5, 0), NOW).unwrap());
    for (unique, issued, want) in [("b", 9, false), ("a", 4, false), ("c", 5, true), ("d", 6, true)]
    {
        let saved = store.save_if_newer(&id, &token(&id, unique, issued, 0), NOW).unwrap();
        assert_eq!(saved, want, "{unique} {issued}");
    }
    fs::write(file(&dir, &id, ".jwt"), "damaged").unwrap();
    assert!(store.save_if_newer(&id, &token(&id, "d", 6, 0), NOW).unwrap(), "replaces damage");
    assert!(store.save_if_newer(&id, "no token", NOW).is_err());
}

#[test]
fn deleting_renames_removes_or_is_off() {
    for (allow, hard) in [(false, false), (true, false), (true, true)] {
        let dir = TempDir::new().unwrap();
        let id = account(1);
        let wanted =
            DirectoryResolver { allow_delete: allow, hard_delete: hard, ..options(dir.path()) };
        let store = Directory::full(&wanted, NOW).unwrap();
        store.save(&id, &token(&id, "x", 1, 0), NOW).unwrap();
        if !allow {
            assert!(!store.deletes());
            assert!(matches!(store.delete(&id), Err(DirectoryError::DeleteOff)));
            assert!(file(&dir, &id, ".jwt").exists());
            continue;
        }
        assert!(store.delete(&id).unwrap());
        assert!(!store.delete(&id).unwrap(), "there is none any more");
        assert!(store.ids().is_empty() && store.sum() == [0; 32]);
        assert!(!file(&dir, &id, ".jwt").exists());
        assert_eq!(file(&dir, &id, ".jwt.deleted").exists(), !hard);
        assert!(full(dir.path()).ids().is_empty(), "it stays deleted");
        // It may come back, and go again.
        assert!(store.save(&id, &token(&id, "x", 1, 0), NOW).unwrap());
        assert!(store.delete(&id).unwrap());
    }
}

#[test]
fn a_full_store_refuses_and_a_cache_drops_the_least_used() {
    let ids: Vec<String> = (1..=4).map(account).collect();
    let text = |i: usize| token(&ids[i], "x", 1, 0);
    let dir = TempDir::new().unwrap();
    let two = DirectoryResolver { limit: 2, ..options(dir.path()) };
    let store = Directory::full(&two, NOW).unwrap();
    store.save(&ids[0], &text(0), NOW).unwrap();
    store.save(&ids[1], &text(1), NOW).unwrap();
    let err = store.save(&ids[2], &text(2), NOW).unwrap_err();
    assert_eq!(err.to_string(), "jwt store is full: it holds its limit of 2 accounts");
    assert!(store.save(&ids[1], &token(&ids[1], "y", 2, 0), NOW).unwrap(), "updates fit");

    let dir = TempDir::new().unwrap();
    let two = DirectoryResolver { limit: 2, ..options(dir.path()) };
    let store = Directory::cache(&two, NOW).unwrap();
    store.save(&ids[0], &text(0), NOW).unwrap();
    store.save(&ids[1], &text(1), NOW).unwrap();
    store.load(&ids[0], NOW).unwrap().unwrap();
    store.save(&ids[2], &text(2), NOW).unwrap();
    assert_eq!(store.load(&ids[1], NOW).unwrap(), None, "used longest ago");
    assert_eq!(store.ids().len(), 2);
    // Somebody else removed the file that is to go.
    fs::remove_file(file(&dir, &store.ids()[0], ".jwt")).unwrap();
    fs::remove_file(file(&dir, &store.ids()[1], ".jwt")).unwrap();
    store.save(&ids[3], &text(3), NOW).unwrap();
}

#[test]
fn tokens_end_by_age_in_a_cache_and_by_their_own_end_elsewhere() {
    let second = 1_000_000_000;
    let (one, two) = (account(1), account(2));
    let dir = TempDir::new().unwrap();
    let store = full(dir.path());
    store.save(&one, &token(&one, "x", 1, NOW / second + 5), NOW).unwrap();
    store.save(&two, &token(&two, "x", 1, 0), NOW).unwrap();
    store.expire(NOW + 4 * second);
    assert_eq!(store.ids().len(), 2);
    store.expire(NOW + 5 * second);
    assert_eq!(store.ids(), *std::slice::from_ref(&two));
    assert!(file(&dir, &one, ".jwt").exists(), "only a cache throws files away");
    let later = Directory::full(&options(dir.path()), NOW + 6 * second).unwrap();
    assert_eq!(later.ids(), *std::slice::from_ref(&two));
    assert_eq!(later.sum(), store.sum());

    let dir = TempDir::new().unwrap();
    let aging = DirectoryResolver { ttl_ns: 10 * second, ..options(dir.path()) };
    let store = Directory::cache(&aging, NOW).unwrap();
    store.save(&one, &token(&one, "x", 1, 0), NOW).unwrap();
    store.save(&two, &token(&two, "x", 1, 0), NOW).unwrap();
    store.load(&two, NOW + 9 * second).unwrap();
    store.expire(NOW + 11 * second);
    assert_eq!(store.ids(), [two], "use keeps an entry");
    assert!(!file(&dir, &one, ".jwt").exists());
}

#[test]
fn what_a_crash_left_is_cleared_and_what_strangers_left_is_not() {
    let dir = TempDir::new().unwrap();
    let (one, two, three) = (account(1), account(2), account(3));
    let good = token(&one, "x", 1, 0);
    fs::write(file(&dir, &one, ".jwt"), format!("{good}\n")).unwrap();
    fs::write(file(&dir, &one, ".jwt.tmp"), "half a tok").unwrap();
    fs::write(file(&dir, &two, ".jwt.tmp"), "").unwrap();
    let strange = [
        ("notes.txt", b"hi".to_vec()),
        ("someone.jwt", good.clone().into_bytes()),
        ("x.jwt.tmp", b"not ours".to_vec()),
        (&format!("{}.jwt", account(4)), b"no token".to_vec()),
        (&format!("{}.jwt", account(5)), Vec::new()),
        (&format!("{}.jwt", account(6)), vec![0xff; 100]),
        (&format!("{}.jwt", account(7)), vec![b'a'; MAX_TOKEN + 1]),
        (&format!("{}.jwt.deleted", account(8)), good.clone().into_bytes()),
        (&format!("{}.jwt", account(9).to_lowercase()), good.clone().into_bytes()),
    ];
    for (name, content) in &strange {
        fs::write(dir.path().join(name), content).unwrap();
    }
    fs::create_dir(file(&dir, &three, ".jwt")).unwrap();
    symlink("/nowhere", file(&dir, &account(10), ".jwt")).unwrap();
    symlink("/dev/zero", file(&dir, &account(11), ".jwt")).unwrap();
    let store = full(dir.path());
    assert_eq!(store.ids(), *std::slice::from_ref(&one));
    assert_eq!(store.load(&one, NOW).unwrap().unwrap(), good, "without the line end");
    assert!(!file(&dir, &one, ".jwt.tmp").exists() && !file(&dir, &two, ".jwt.tmp").exists());
    for (name, _) in &strange {
        assert!(dir.path().join(name).exists(), "{name}");
    }
    for n in [4, 5, 6, 7, 11] {
        let err = store.load(&account(n), NOW).unwrap_err().to_string();
        assert!(err.contains(&account(n)) && err.contains("does not hold"), "{n}: {err}");
    }
    let err = store.load(&three, NOW).unwrap_err().to_string();
    assert!(err.contains(&three), "{err}");
    assert_eq!(store.load(&account(10), NOW).unwrap(), None);
}

#[test]
fn names_from_the_network_stay_in_the_directory() {
    let dir = TempDir::new().unwrap();
    let store = full(dir.path());
    let user = account(1).replacen('A', "U", 1);
    for id in ["", "A", "..", "../x", "/etc/passwd", &user, &format!("{}/x", account(1)), "A\0"] {
        assert!(matches!(store.load(id, NOW), Err(DirectoryError::Name(_))), "{id:?}");
        assert!(matches!(store.save(id, &token(id, "x", 1, 0), NOW), Err(DirectoryError::Name(_))));
        assert!(matches!(store.delete(id), Err(DirectoryError::Name(_))), "{id:?}");
    }
    let id = account(1);
    assert!(matches!(store.save(&id, "", NOW), Err(DirectoryError::Size(0))));
    let long = "a".repeat(MAX_TOKEN + 1);
    assert!(matches!(store.save(&id, &long, NOW), Err(DirectoryError::Size(_))));
}

#[test]
fn a_write_that_fails_leaves_what_was_there_and_says_where() {
    let dir = TempDir::new().unwrap();
    let (one, two) = (account(1), account(2));
    let store = full(dir.path());
    store.save(&one, &token(&one, "old", 1, 0), NOW).unwrap();
    let sum = store.sum();
    // A directory where the temporary file should be: opening it fails.
    fs::create_dir(file(&dir, &one, ".jwt.tmp")).unwrap();
    let err = store.save(&one, &token(&one, "new", 2, 0), NOW).unwrap_err().to_string();
    assert!(err.starts_with("writing ") && err.contains(&one), "{err}");
    assert_eq!(store.load(&one, NOW).unwrap().unwrap(), token(&one, "old", 1, 0));
    assert_eq!(store.sum(), sum);
    // A directory in the place of the file: the rename fails, nothing stays.
    fs::create_dir(file(&dir, &two, ".jwt")).unwrap();
    assert!(store.save(&two, &token(&two, "new", 2, 0), NOW).is_err());
    assert!(!file(&dir, &two, ".jwt.tmp").exists());
    assert_eq!(store.ids(), [one]);
    // Not even a directory.
    let taken = dir.path().join("file");
    fs::write(&taken, "").unwrap();
    let err = Directory::full(&options(&taken), NOW).unwrap_err().to_string();
    assert!(err.contains("file"), "{err}");
}

#[test]
fn a_second_look_tells_what_changed() {
    let dir = TempDir::new().unwrap();
    let ids: Vec<String> = (1..=3).map(account).collect();
    let store = full(dir.path());
    store.save(&ids[0], &token(&ids[0], "a", 1, 0), NOW).unwrap();
    store.save(&ids[1], &token(&ids[1], "a", 1, 0), NOW).unwrap();
    assert!(store.reload(NOW).unwrap().is_empty());
    fs::write(file(&dir, &ids[0], ".jwt"), token(&ids[0], "b", 2, 0)).unwrap();
    fs::remove_file(file(&dir, &ids[1], ".jwt")).unwrap();
    fs::write(file(&dir, &ids[2], ".jwt"), token(&ids[2], "a", 1, 0)).unwrap();
    let mut changed = store.reload(NOW).unwrap();
    changed.sort();
    assert_eq!(changed, ids);
    assert!(store.reload(NOW).unwrap().is_empty());
}
