//! The `Path` extractor: the names of a path pattern, read into a type by serde.

use std::fmt::Display;

use http::request::Parts;
use serde::de::value::{Error as ValueError, MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::pattern::Params;
use crate::{Error, FromRequestParts, Reads, Result};

/// What a path pattern's names stand for: one value, a tuple in the pattern's order, or a struct or map by name. A value that
/// does not fit is a 400 that says which.
///
/// The pattern is the [`Router`](crate::Router)'s, or the attribute's:
///
/// ```
/// use samovar_sdk::{Path, handler};
///
/// #[handler("/add/{a}/{b}")]
/// async fn add(Path((a, b)): Path<(u32, u32)>) -> String {
///     format!("{}\n", a + b)
/// }
///
/// # assert_eq!(samovar_sdk::testing::call(add(Path((1, 2)))).text(), "3\n");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts for Path<T> {
    const READS: Reads = Reads::PATH;

    async fn from_request_parts(parts: &mut Parts) -> Result<Self> {
        let Some(params) = parts.extensions.get::<Params>() else {
            return Err(Error::internal(
                "`Path` has no pattern to read from: name it in the attribute, as in #[handler(\"/cart/{id}\")], or use a Router",
            ));
        };
        T::deserialize(params).map(Self).map_err(|error| Error::bad_request(format!("path: {error}")))
    }
}

impl<'a> Params {
    fn values(&'a self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, Value { name, value }))
    }

    fn only(&'a self) -> Result<Value<'a>, ValueError> {
        match &*self.0 {
            [(name, value)] => Ok(Value { name, value }),
            all => Err(ValueError::custom(format_args!(
                "the pattern has {} names, and one value is taken: take a tuple or a struct",
                all.len()
            ))),
        }
    }
}

macro_rules! of_the_only_value {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            self.only()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Params {
    type Error = ValueError;

    of_the_only_value! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_identifier
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(self.values().map(|(_, value)| value)))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, ValueError> {
        if self.0.len() != length {
            let count = self.0.len();
            return Err(ValueError::custom(format_args!("the pattern has {count} names, and {length} are taken")));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_map(MapDeserializer::new(self.values()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.only()?.deserialize_enum(name, variants, visitor)
    }
}

/// One value, which knows its name for the error's sake.
#[derive(Debug, Clone, Copy)]
struct Value<'de> {
    name: &'de str,
    value: &'de str,
}

impl<'de> Value<'de> {
    fn error(self, reason: impl Display) -> ValueError {
        ValueError::custom(format_args!("`{}` is `{}`: {reason}", self.name, self.value))
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for Value<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            visitor.$visit(self.value.parse().map_err(|error| self.error(error))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'de> {
    type Error = ValueError;

    parsed! {
        deserialize_bool visit_bool deserialize_i8 visit_i8 deserialize_i16 visit_i16 deserialize_i32 visit_i32
        deserialize_i64 visit_i64 deserialize_i128 visit_i128 deserialize_u8 visit_u8 deserialize_u16 visit_u16
        deserialize_u32 visit_u32 deserialize_u64 visit_u64 deserialize_u128 visit_u128 deserialize_f32 visit_f32
        deserialize_f64 visit_f64 deserialize_char visit_char
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_borrowed_str(self.value).map_err(|error: ValueError| self.error(error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_enum(self).map_err(|error| self.error(error))
    }

    forward_to_deserialize_any! {
        str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Value<'de> {
    type Error = ValueError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), ValueError> {
        Ok((seed.deserialize(serde::de::value::BorrowedStrDeserializer::<ValueError>::new(self.value))?, self))
    }
}

impl<'de> VariantAccess<'de> for Value<'de> {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _seed: S) -> Result<S::Value, ValueError> {
        Err(ValueError::custom("a variant with a value cannot stand in a path"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, _visitor: V) -> Result<V::Value, ValueError> {
        Err(ValueError::custom("a variant with values cannot stand in a path"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, ValueError> {
        Err(ValueError::custom("a variant with fields cannot stand in a path"))
    }
}

#[cfg(test)]
mod tests;
