use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn keys(text: &str) -> SecretKeys {
    SecretKeys::parse(text).unwrap()
}

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn value(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec()).unwrap()
}

#[test]
fn a_value_opens_only_under_its_name_and_version() {
    let keys = keys(ONE);
    let sealed = keys.seal(&name("A"), 1, &value("sk_live")).unwrap();
    assert_eq!(keys.open(&name("A"), 1, &sealed).unwrap().expose(), "sk_live");
    for (other, version) in [("B", 1), ("A", 2)] {
        assert_eq!(keys.open(&name(other), version, &sealed), Err(SecretError::Damaged(name(other))));
    }
}

#[test]
fn the_same_value_is_sealed_differently_each_time_and_reads_back_from_json() {
    let keys = keys(ONE);
    let seal = || keys.seal(&name("A"), 1, &value("sk_live")).unwrap();
    let (one, two) = (seal(), seal());
    assert_ne!(one, two);
    let json = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Sealed>(&json).unwrap(), one);
    for bad in ["\"\"", "\"AQ==\"", "\"not base64\""] {
        assert!(serde_json::from_str::<Sealed>(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let (old, both, new) = (keys(ONE), keys(&format!("{TWO}\n\n  {ONE}  \n")), keys(TWO));
    let before = old.seal(&name("A"), 1, &value("before")).unwrap();
    let after = both.seal(&name("A"), 2, &value("after")).unwrap();
    assert_eq!(both.open(&name("A"), 1, &before).unwrap().expose(), "before");
    assert_eq!(new.open(&name("A"), 2, &after).unwrap().expose(), "after");
    let refusal = new.open(&name("A"), 1, &before).unwrap_err().to_string();
    let expected = format!("secret `A` was encrypted with key {}, which this process has not got", old.current());
    assert!(refusal.starts_with(&expected) && refusal.contains(&new.current().to_string()), "{refusal}");
}

#[test]
fn what_is_no_key_is_named_by_its_line_and_not_repeated() {
    let hex = "0123456789abcdef".repeat(3);
    for (text, expected) in [
        (String::new(), "there is no key in it"),
        (format!("{ONE}\n{hex}\n"), "line 2 has 48 characters and is no key"),
        (ONE.replace('1', "x"), "line 1 has 64 characters and is no key"),
    ] {
        let refusal = SecretKeys::parse(&text).unwrap_err().to_string();
        assert!(refusal.contains(expected) && !refusal.contains(&hex), "{refusal}");
    }
    let printed = format!("{:?}", keys(ONE));
    assert!(!printed.contains("1111"), "{printed}");
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let made = SecretKeys::make(dir.path(), "secrets.key").unwrap();
    let file = dir.path().join("secrets.key");
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(SecretKeys::read(&file).unwrap().current(), made.current());
    for open in [0o644, 0o640, 0o604] {
        mode(open);
        let refusal = SecretKeys::read(&file).unwrap_err().to_string();
        let path = file.display();
        assert_eq!(refusal, format!("others can read {path} (mode {open:04o}): chmod 600 {path}"));
    }
    mode(0o400);
    assert!(SecretKeys::read(&file).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_byte_of_a_sealed_value_can_be_changed(text in ".{1,100}", at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let keys = keys(ONE);
        let sealed = keys.seal(&name("A"), 7, &value(&text)).unwrap();
        prop_assert!(keys.open(&name("A"), 7, &sealed).unwrap() == value(&text));
        let mut bytes = STANDARD.decode(String::from(sealed)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Sealed::try_from(STANDARD.encode(bytes)).map_or(true, |changed| keys.open(&name("A"), 7, &changed).is_err()));
    }
}
