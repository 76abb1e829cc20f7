//! JSON that keeps what an ordinary reader throws away: the order of keys, and keys that stand there twice.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A key that is there more than once, in whatever case: which one counts depends on who reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {0} is there twice")]
pub struct Twice(pub String);

impl Json {
    /// The value of a key as Go finds it, whatever its case; none when it is missing, null, or this is no object.
    ///
    /// # Errors
    /// When the key is there twice.
    pub fn field(&self, name: &str) -> Result<Option<&Self>, Twice> {
        let Self::Object(fields) = self else {
            return Ok(None);
        };
        let wanted = folded(name);
        let mut found = fields.iter().filter(|(key, _)| folded(key) == wanted);
        let first = found.next().map(|(_, value)| value);
        if found.next().is_some() {
            return Err(Twice(name.to_owned()));
        }
        Ok(first.filter(|value| **value != Self::Null))
    }

    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    #[must_use]
    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }
}

/// As Go compares keys: the long s is an s, the sign for Kelvin a k.
fn folded(key: &str) -> String {
    key.to_uppercase().to_lowercase()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Json::Object(fields))
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => list.serialize(serializer),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_everything_unknown_come_back_as_they_were() {
        let text = r#"{"z":1,"a":[null,true,-2,1.5,{"b":"x","a":{}}],"m":"ü"}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&json).unwrap(), text);
    }

    #[test]
    fn a_key_is_found_in_any_case_and_twice_is_an_error() {
        let json: Json =
            serde_json::from_str(r#"{"bindſ":[1],"HOSTCONFIG":{},"x":1,"X":2,"n":null}"#).unwrap();
        assert_eq!(json.field("Binds").unwrap().unwrap().list().len(), 1);
        assert!(json.field("HostConfig").unwrap().is_some());
        assert_eq!(json.field("x"), Err(Twice("x".to_owned())));
        assert_eq!(json.field("n"), Ok(None));
        assert_eq!(json.field("none"), Ok(None));
    }
}
