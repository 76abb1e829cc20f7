//! The parts of a compose file that matter here, each with its line.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use serde_saphyr::Spanned;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Unreadable {
    /// From 1; 0: of the whole.
    pub line: usize,
    pub message: String,
}

#[derive(Debug, Deserialize)]
pub struct File {
    pub name: Option<Text>,
    #[serde(default)]
    pub services: Entries<Service>,
    #[serde(default)]
    pub volumes: Entries<Option<Volume>>,
    pub include: Option<Spanned<IgnoredAny>>,
}

/// A scalar, written as it stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    pub text: String,
    pub line: usize,
}

/// In the order of the file.
#[derive(Debug)]
pub struct Entries<T>(pub Vec<(Text, T)>);

#[derive(Debug, Deserialize)]
pub struct Service {
    pub image: Option<Text>,
    #[serde(default)]
    pub volumes: Vec<Spanned<Mount>>,
    #[serde(default)]
    pub environment: Environment,
    pub extends: Option<Spanned<IgnoredAny>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// `source:target:mode`, or the target alone.
    Short(String),
    Long(LongMount),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LongMount {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default, alias = "src")]
    pub source: String,
    #[serde(default, alias = "dst", alias = "destination")]
    pub target: String,
}

/// None: the value comes from where compose runs.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Environment(pub BTreeMap<String, Option<String>>);

#[derive(Debug, Deserialize)]
pub struct Volume {
    pub name: Option<Text>,
    #[serde(default)]
    pub external: External,
}

/// Long ago it held a name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum External {
    #[default]
    No,
    Yes,
    Named(String),
}

impl File {
    /// # Errors
    /// When it is no YAML, or not that of compose.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let options = serde_saphyr::options! { with_snippet: false };
        let file: Self = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let line = error.location().map_or(0, |place| place.line());
            Unreadable {
                line: usize::try_from(line).unwrap_or(0),
                message: error.to_string(),
            }
        })?;
        if file.services.0.is_empty() && file.include.is_none() {
            return Err(Unreadable {
                line: 0,
                message: "there are no services in it".to_owned(),
            });
        }
        Ok(file)
    }
}

/// With every variable replaced.
///
/// # Errors
/// The name of one that nobody has set.
pub fn resolve(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let known = |name: &str| match environment.get(name) {
        Some(value) => Ok(Some(value.clone())),
        None => Err(name.to_owned()),
    };
    match shellexpand::env_with_context(text, known) {
        Ok(resolved) if resolved.contains("${") => Err(resolved.into_owned()),
        Ok(resolved) => Ok(resolved.into_owned()),
        Err(error) => Err(error.cause),
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Scalar>::deserialize(from)?;
        let line = line_of(&spanned);
        Ok(Self {
            text: spanned.value.0,
            line,
        })
    }
}

/// Where it stands, from 1.
pub fn line_of<T>(spanned: &Spanned<T>) -> usize {
    usize::try_from(spanned.referenced.line()).unwrap_or(0)
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Keys<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("keys with values")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Entries::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        from.deserialize_any(Keys(std::marker::PhantomData))
    }
}

/// Whatever is no list and no map.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar(value.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Scalar, E> {
                Ok(Scalar(String::new()))
            }
        }
        from.deserialize_any(Any)
    }
}

impl<'de> Deserialize<'de> for Mount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Mount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mount")
            }

            fn visit_str<E>(self, value: &str) -> Result<Mount, E> {
                Ok(Mount::Short(value.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mount, A::Error> {
                LongMount::deserialize(MapAccessDeserializer::new(map)).map(Mount::Long)
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Environment;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("variables")
            }

            fn visit_unit<E>(self) -> Result<Environment, E> {
                Ok(Environment::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Environment, A::Error> {
                let mut all = BTreeMap::new();
                while let Some(Scalar(line)) = list.next_element()? {
                    match line.split_once('=') {
                        Some((name, value)) => all.insert(name.to_owned(), Some(value.to_owned())),
                        None => all.insert(line, None),
                    };
                }
                Ok(Environment(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Environment, A::Error> {
                let mut all = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Option<Scalar>>()? {
                    all.insert(name, value.map(|Scalar(value)| value));
                }
                Ok(Environment(all))
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for External {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = External;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<External, E> {
                Ok(if value { External::Yes } else { External::No })
            }

            fn visit_str<E>(self, value: &str) -> Result<External, E> {
                Ok(if value == "true" {
                    External::Yes
                } else {
                    External::No
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<External, A::Error> {
                let mut name = None;
                while let Some((key, value)) = map.next_entry::<String, Option<Scalar>>()? {
                    if key == "name" {
                        name = value.map(|Scalar(value)| value);
                    }
                }
                Ok(name.map_or(External::Yes, External::Named))
            }
        }
        from.deserialize_any(Either)
    }
}
