//! What has backups of its own, as an operator types it: a database or a volume.

use std::str::FromStr;

use holdfast_proto::names::{DatabaseName, HostName, NameError, VolumeName};

/// `HOST/INSTANCE/DATABASE` or `HOST/VOLUME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series(pub DatabaseName);

/// What something is done to by schedule: `HOST` too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Host(HostName),
    Series(DatabaseName),
}

impl FromStr for Subject {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('/') {
            return Ok(Self::Series(text.parse::<Series>()?.0));
        }
        Ok(Self::Host(text.parse()?))
    }
}

impl FromStr for Series {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.matches('/').count() == 1 {
            return Ok(Self(text.parse::<VolumeName>()?.into()));
        }
        Ok(Self(text.parse()?))
    }
}

#[cfg(test)]
mod tests {
    use super::Series;

    #[test]
    fn two_parts_are_a_volume_and_three_a_database() {
        let shown = |text: &str| text.parse::<Series>().map(|series| series.0.to_string());
        for name in [
            "web-1/shop_uploads",
            "web-1/shop-db/shop",
            "web-1/db/with/slash",
        ] {
            assert_eq!(shown(name).as_deref(), Ok(name));
        }
        let volume: Series = "web-1/shop_uploads".parse().expect("a name");
        assert!(volume.0.volume().is_some());
        for wrong in ["web-1", "web-1/", "WEB/x", "web-1//x"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
