//! Between wire and domain. In: `TryFrom`, every field looked at. Out: `From`, cannot fail.
//!
//! [`Field`] says how one field travels; [`messages!`], [`enums!`] and [`choices!`] put fields together.
//! Both directions destructure, so that a field added on either side and forgotten here does not compile.

mod check;
mod fields;
mod fleet;
mod guard;
mod image;
mod link;
mod names;
#[cfg(test)]
mod sample;
mod task;

/// Why a message of the wire makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("{message}.{field} is missing")]
    Missing {
        message: &'static str,
        field: &'static str,
    },
    #[error("{message}.{field} is not valid: {reason}")]
    Invalid {
        message: &'static str,
        field: &'static str,
        reason: String,
    },
}

/// How a domain value travels in a field of type `Wire`.
pub(crate) trait Field<Wire>: Sized {
    fn read(wire: Wire) -> Result<Self, Fault>;
    fn write(self) -> Wire;
}

/// What is wrong with a field, before its name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    Missing,
    Invalid(String),
    /// Further inside, already named.
    Within(WireError),
}

/// Reads a field; what is wrong with it is told with the names of message and field.
pub(crate) fn read<Wire, T: Field<Wire>>(
    message: &'static str,
    field: &'static str,
    wire: Wire,
) -> Result<T, WireError> {
    T::read(wire).map_err(|fault| match fault {
        Fault::Missing => WireError::Missing { message, field },
        Fault::Invalid(reason) => WireError::Invalid {
            message,
            field,
            reason,
        },
        Fault::Within(error) => error,
    })
}

/// A message that has to be there, from its optional field.
fn required<Wire, T: TryFrom<Wire, Error = WireError>>(wire: Option<Wire>) -> Result<T, Fault> {
    T::try_from(wire.ok_or(Fault::Missing)?).map_err(Fault::Within)
}

/// A message as a field: alone where it is an element, or in the `Option` that prost gives every message.
macro_rules! message_field {
    ($name:ident) => {
        impl $crate::convert::Field<$crate::wire::$name> for $name {
            fn read(wire: $crate::wire::$name) -> Result<Self, $crate::convert::Fault> {
                Self::try_from(wire).map_err($crate::convert::Fault::Within)
            }

            fn write(self) -> $crate::wire::$name {
                self.into()
            }
        }

        impl $crate::convert::Field<Option<$crate::wire::$name>> for $name {
            fn read(wire: Option<$crate::wire::$name>) -> Result<Self, $crate::convert::Fault> {
                $crate::convert::required(wire)
            }

            fn write(self) -> Option<$crate::wire::$name> {
                Some(self.into())
            }
        }
    };
}

/// Messages whose domain type has the same name and the same fields.
macro_rules! messages {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(
            impl TryFrom<$crate::wire::$name> for $name {
                type Error = $crate::WireError;

                fn try_from(message: $crate::wire::$name) -> Result<Self, $crate::WireError> {
                    let $crate::wire::$name { $($field),* } = message;
                    Ok(Self {
                        $($field: $crate::convert::read(stringify!($name), stringify!($field), $field)?),*
                    })
                }
            }

            impl From<$name> for $crate::wire::$name {
                fn from(value: $name) -> Self {
                    let $name { $($field),* } = value;
                    Self { $($field: $crate::convert::Field::write($field)),* }
                }
            }

            $crate::convert::message_field!($name);

            #[cfg(test)]
            impl $crate::convert::sample::Sample for $name {
                #[allow(unused_variables, reason = "a message may have no field")]
                fn sample(source: &mut $crate::convert::sample::Source) -> Self {
                    Self { $($field: $crate::convert::sample::Sample::sample(source)),* }
                }
            }
        )*

        #[cfg(test)]
        mod messages_round_trip {
            $($crate::convert::sample::round_trip!($name, super::$name, $crate::wire::$name);)*
        }
    };
}

/// Enumerations whose domain type has the same variants, without UNSPECIFIED.
macro_rules! enums {
    ($($name:ident { $($variant:ident),* $(,)? })*) => {
        $(
            impl TryFrom<$crate::wire::$name> for $name {
                type Error = $crate::convert::Unspecified;

                fn try_from(wire: $crate::wire::$name) -> Result<Self, $crate::convert::Unspecified> {
                    match wire {
                        $crate::wire::$name::Unspecified => Err($crate::convert::Unspecified),
                        $($crate::wire::$name::$variant => Ok(Self::$variant)),*
                    }
                }
            }

            impl From<$name> for $crate::wire::$name {
                fn from(value: $name) -> Self {
                    match value {
                        $($name::$variant => Self::$variant),*
                    }
                }
            }

            impl $crate::convert::Field<i32> for $name {
                fn read(wire: i32) -> Result<Self, $crate::convert::Fault> {
                    $crate::wire::$name::try_from(wire)
                        .ok()
                        .and_then(|known| Self::try_from(known).ok())
                        .ok_or_else(|| $crate::convert::not_a_value(wire))
                }

                fn write(self) -> i32 {
                    $crate::wire::$name::from(self) as i32
                }
            }

            #[cfg(test)]
            impl $crate::convert::sample::Sample for $name {
                fn sample(source: &mut $crate::convert::sample::Source) -> Self {
                    source.one_of(&[$(Self::$variant),*])
                }
            }
        )*

        #[cfg(test)]
        mod enums_round_trip {
            $($crate::convert::sample::enum_round_trip!($name, super::$name, [$($variant),*]);)*
        }
    };
}

/// Messages that are nothing but a `oneof` whose variants each hold the message of the same name.
macro_rules! choices {
    ($($name:ident is $module:ident::$oneof:ident as $field:ident { $($variant:ident),* $(,)? })*) => {
        $(
            impl TryFrom<$crate::wire::$name> for $name {
                type Error = $crate::WireError;

                fn try_from(message: $crate::wire::$name) -> Result<Self, $crate::WireError> {
                    use $crate::wire::$module::$oneof;

                    let $crate::wire::$name { $field } = message;
                    match $field {
                        $(Some($oneof::$variant(inner)) => inner.try_into().map(Self::$variant),)*
                        None => Err($crate::WireError::Missing {
                            message: stringify!($name),
                            field: stringify!($field),
                        }),
                    }
                }
            }

            impl From<$name> for $crate::wire::$name {
                fn from(value: $name) -> Self {
                    use $crate::wire::$module::$oneof;

                    Self {
                        $field: Some(match value {
                            $($name::$variant(inner) => $oneof::$variant(inner.into())),*
                        }),
                    }
                }
            }

            $crate::convert::message_field!($name);

            #[cfg(test)]
            impl $crate::convert::sample::Sample for $name {
                fn sample(source: &mut $crate::convert::sample::Source) -> Self {
                    let makers = [$(
                        (|source| Self::$variant($crate::convert::sample::Sample::sample(source)))
                            as fn(&mut $crate::convert::sample::Source) -> Self
                    ),*];
                    source.one_of(&makers)(source)
                }
            }
        )*

        #[cfg(test)]
        mod choices_round_trip {
            $($crate::convert::sample::round_trip!($name, super::$name, $crate::wire::$name);)*

            #[test]
            fn a_missing_choice_is_refused() {
                $(assert_eq!(
                    super::$name::try_from($crate::wire::$name::default()),
                    Err($crate::WireError::Missing {
                        message: stringify!($name),
                        field: stringify!($field),
                    })
                );)*
            }
        }
    };
}

use {choices, enums, message_field, messages};

/// An enumeration's zero: the sender has not said which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is unspecified")]
pub struct Unspecified;

fn not_a_value(number: i32) -> Fault {
    Fault::Invalid(if number == 0 {
        Unspecified.to_string()
    } else {
        format!("{number} is not a value this version knows")
    })
}
