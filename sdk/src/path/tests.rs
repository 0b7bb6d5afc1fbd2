use std::collections::HashMap;

use serde::Deserialize;

use super::*;
use crate::pattern::Pattern;

fn read<T: DeserializeOwned>(pattern: &str, path: &str) -> Result<T, String> {
    let params = Pattern::parse(pattern).unwrap().matches(path).unwrap();
    T::deserialize(&params).map_err(|error| error.to_string())
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Item {
    id: u32,
    colour: Colour,
    size: Option<u8>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Id(u64);

#[test]
fn values_are_read_in_every_form() {
    assert_eq!(read::<u32>("/{id}", "/7"), Ok(7));
    assert_eq!(read::<Id>("/{id}", "/7"), Ok(Id(7)));
    assert_eq!(read::<String>("/{id}", "/a%2Fb"), Ok("a/b".into()));
    assert_eq!(read::<Colour>("/{colour}", "/red"), Ok(Colour::Red));
    assert_eq!(read::<(String, i8)>("/{a}/{b}", "/x/-1"), Ok(("x".into(), -1)));
    assert_eq!(read::<Vec<u8>>("/{a}/{b}", "/1/2"), Ok(vec![1, 2]));
    assert_eq!(read::<HashMap<String, f32>>("/{a}", "/1.5"), Ok(HashMap::from([("a".into(), 1.5)])));
    let item = Item { id: 7, colour: Colour::Red, size: None };
    assert_eq!(read::<Item>("/{id}/{colour}", "/7/red"), Ok(item));
}

#[test]
fn what_does_not_fit_is_named() {
    for (error, expected) in [
        (read::<u32>("/{id}", "/x").unwrap_err(), "`id` is `x`: invalid digit found in string"),
        (read::<u8>("/{id}", "/256").unwrap_err(), "`id` is `256`: number too large"),
        (read::<Colour>("/{c}", "/blue").map(drop).unwrap_err(), "`c` is `blue`: unknown variant `blue`"),
        (read::<(u8, u8)>("/{a}", "/1").map(drop).unwrap_err(), "the pattern has 1 names, and 2 are taken"),
        (read::<u8>("/{a}/{b}", "/1/2").map(drop).unwrap_err(), "the pattern has 2 names, and one value is taken"),
        (read::<Item>("/{id}", "/1").map(drop).unwrap_err(), "missing field `colour`"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}
