//! Names of processes in a cluster: a rule that they share, and what every type of such a name can do.

/// Whether a text can be a member's name: 1 to 63 of `a-z`, `0-9` and `-`, with a letter or digit first and last.
pub(crate) fn is_member_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-') && !text.ends_with('-')
}

/// Defines a type for the names of one kind of members, and its error.
macro_rules! member_id {
    ($(#[$doc:meta])* $id:ident, $(#[$error_doc:meta])* $error:ident: $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $id(std::sync::Arc<str>);

        $(#[$error_doc])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error(String);

        impl $id {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $id {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                if $crate::member_id::is_member_name(text) { Ok(Self(text.into())) } else { Err($error(text.to_owned())) }
            }
        }

        impl TryFrom<String> for $id {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use member_id;

#[cfg(test)]
mod tests {
    use super::is_member_name;

    #[test]
    fn names_are_labels() {
        for good in ["a", "1", "host-1", "a1", &"a".repeat(63)] {
            assert!(is_member_name(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", &"a".repeat(64)] {
            assert!(!is_member_name(bad), "{bad}");
        }
    }
}
