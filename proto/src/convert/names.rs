//! Names, from and to the wire.

use super::{WireError, message_field};
use crate::{
    names::{DatabaseName, HostName, NameError, VolumeName},
    wire,
};

impl TryFrom<wire::DatabaseName> for DatabaseName {
    type Error = WireError;

    fn try_from(message: wire::DatabaseName) -> Result<Self, WireError> {
        let wire::DatabaseName {
            host,
            instance,
            database,
        } = message;
        let invalid = |field, reason: &str| WireError::Invalid {
            message: "DatabaseName",
            field,
            reason: reason.to_owned(),
        };
        let host = HostName::try_from(host).map_err(|error| invalid("host", &error.to_string()))?;
        if instance.is_empty() || instance.contains('/') {
            return Err(invalid("instance", "it is empty or holds a /"));
        }
        if database.is_empty() || database.contains('\0') {
            return Err(invalid("database", "it is empty or holds a NUL"));
        }
        Ok(Self {
            host,
            instance,
            database,
        })
    }
}

impl From<DatabaseName> for wire::DatabaseName {
    fn from(value: DatabaseName) -> Self {
        let DatabaseName {
            host,
            instance,
            database,
        } = value;
        Self {
            host: host.into(),
            instance,
            database,
        }
    }
}

message_field!(DatabaseName);

impl TryFrom<wire::VolumeName> for VolumeName {
    type Error = WireError;

    fn try_from(message: wire::VolumeName) -> Result<Self, WireError> {
        let wire::VolumeName { host, volume } = message;
        let name = format!("{host}/{volume}");
        name.parse().map_err(|error: NameError| WireError::Invalid {
            message: "VolumeName",
            field: match error {
                NameError::Volume(_) => "volume",
                _ => "host",
            },
            reason: error.to_string(),
        })
    }
}

impl From<VolumeName> for wire::VolumeName {
    fn from(value: VolumeName) -> Self {
        let VolumeName { host, volume } = value;
        Self {
            host: host.into(),
            volume,
        }
    }
}

message_field!(VolumeName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_database_name_comes_back(
            host in "[a-z][a-z0-9-]{0,38}[a-z0-9]",
            instance in "[^/\\x00]{1,20}",
            database in "[^\\x00]{1,20}",
        ) {
            let name = DatabaseName { host: host.parse().unwrap(), instance, database };
            let wire = wire::DatabaseName::from(name.clone());
            prop_assert_eq!(DatabaseName::try_from(wire), Ok(name.clone()));
            // What is printed can be typed.
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    proptest! {
        #[test]
        fn a_volume_name_comes_back(
            host in "[a-z][a-z0-9-]{0,38}[a-z0-9]",
            volume in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}",
        ) {
            let name = VolumeName { host: host.parse().unwrap(), volume };
            let wire = wire::VolumeName::from(name.clone());
            prop_assert_eq!(VolumeName::try_from(wire), Ok(name.clone()));
            prop_assert_eq!(name.to_string().parse(), Ok(name.clone()));
            let series = DatabaseName::from(name.clone());
            prop_assert_eq!(series.to_string(), name.to_string());
            prop_assert_eq!(series.volume(), Some(name));
        }
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        let read = |host: &str, volume: &str| {
            let (host, volume) = (host.to_owned(), volume.to_owned());
            match VolumeName::try_from(wire::VolumeName { host, volume }) {
                Err(WireError::Invalid { field, .. }) => field,
                other => panic!("{other:?}"),
            }
        };
        for path in ["", "..", "../etc", "a/b", "-a", "a b", "(volume)"] {
            assert_eq!(read("web-1", path), "volume", "{path}");
        }
        assert_eq!(read("Web 1", "shop"), "host");
        let database: DatabaseName = "web-1/shop-db/shop".parse().unwrap();
        assert_eq!(database.volume(), None);
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_field() {
        let cases = [
            ("Web 1", "shop-db", "shop", "host"),
            ("", "shop-db", "shop", "host"),
            ("web-1", "", "shop", "instance"),
            ("web-1", "shop/db", "shop", "instance"),
            ("web-1", "shop-db", "", "database"),
            ("web-1", "shop-db", "a\0b", "database"),
        ];
        for (host, instance, database, wrong) in cases {
            let name = wire::DatabaseName {
                host: host.to_owned(),
                instance: instance.to_owned(),
                database: database.to_owned(),
            };
            match DatabaseName::try_from(name) {
                Err(WireError::Invalid { field, .. }) => assert_eq!(field, wrong),
                other => panic!("{host}/{instance}/{database}: {other:?}"),
            }
        }
    }
}
