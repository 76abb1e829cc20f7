//! Who is let in at this moment: a pure judgement over what the catalog says of certificates.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use holdfast_chassis::tls::PeerInfo;

use crate::catalog::CertificateRow;

/// What every request is judged by, held in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    revoked: HashSet<String>,
    /// Of each subject, the end of its last certificate that is not revoked.
    valid_until: HashMap<String, DateTime<Utc>>,
}

/// Why somebody with a certificate of ours is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error(
        "this call needs a client certificate, and none was shown: \
         log in with `ctl login` (an operator) or enrol with `holdfast-agent join` (a host)"
    )]
    Nobody,
    #[error(
        "the certificate of {subject} has been revoked: {subject} was removed; \
         enrol again with a new token"
    )]
    Revoked { subject: String },
    #[error(
        "{subject} is not enrolled: the catalog of this controller does not know it; \
         enrol again with a new token"
    )]
    NotEnrolled { subject: String },
    #[error(
        "the certificate of {subject} expired at {at} and was not renewed; \
         enrol again with a new token"
    )]
    Expired { subject: String, at: DateTime<Utc> },
}

impl Standing {
    #[must_use]
    pub fn of(rows: &[CertificateRow]) -> Self {
        let mut standing = Self::default();
        for row in rows {
            if row.revoked_at.is_some() {
                standing.revoked.insert(row.serial.clone());
            } else {
                standing.extend(&row.subject, row.expires_at);
            }
        }
        standing
    }

    /// A certificate was issued.
    pub fn extend(&mut self, subject: &str, until: DateTime<Utc>) {
        let entry = self.valid_until.entry(subject.to_owned()).or_insert(until);
        *entry = (*entry).max(until);
    }

    /// All certificates of the subject were revoked.
    pub fn remove(&mut self, subject: &str, serials: impl IntoIterator<Item = String>) {
        self.valid_until.remove(subject);
        self.revoked.extend(serials);
    }

    #[must_use]
    pub fn revoked(&self) -> &HashSet<String> {
        &self.revoked
    }

    /// A connection may outlive the certificate that it was made with, as long as its subject has
    /// renewed in time: so the certificate is judged by its serial number, its time by subject.
    ///
    /// Returns until when the subject is let in.
    ///
    /// # Errors
    /// Why the peer is not let in.
    pub fn judge(&self, peer: &PeerInfo, now: DateTime<Utc>) -> Result<DateTime<Utc>, NotAdmitted> {
        let (Some(identity), Some(serial)) = (&peer.identity, &peer.serial) else {
            return Err(NotAdmitted::Nobody);
        };
        let subject = identity.to_string();
        if self.revoked.contains(serial) {
            return Err(NotAdmitted::Revoked { subject });
        }
        match self.valid_until.get(&subject) {
            None => Err(NotAdmitted::NotEnrolled { subject }),
            Some(at) if *at <= now => Err(NotAdmitted::Expired { subject, at: *at }),
            Some(at) => Ok(*at),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use holdfast_chassis::identity::Identity;

    use super::*;

    fn row(serial: &str, days: i64, revoked: bool) -> CertificateRow {
        let now = DateTime::UNIX_EPOCH;
        CertificateRow {
            serial: serial.into(),
            subject: "host/web-1".into(),
            role: None,
            issued_at: now,
            expires_at: now + TimeDelta::days(days),
            revoked_at: revoked.then_some(now),
        }
    }

    fn peer(serial: &str) -> PeerInfo {
        PeerInfo {
            identity: Some(Identity::Host("web-1".into())),
            serial: Some(serial.into()),
            address: "10.0.0.7:51234".parse().unwrap(),
        }
    }

    #[test]
    fn a_connection_outlives_its_certificate_when_another_followed() {
        let standing = Standing::of(&[row("a", 30, false), row("b", 50, false)]);
        let day = |day| DateTime::UNIX_EPOCH + TimeDelta::days(day);
        assert_eq!(standing.judge(&peer("a"), day(40)), Ok(day(50)));
        assert!(matches!(
            standing.judge(&peer("b"), day(50)),
            Err(NotAdmitted::Expired { .. })
        ));
    }

    #[test]
    fn a_removed_host_that_enrolled_again_comes_in_with_the_new_certificate_only() {
        let standing = Standing::of(&[row("a", 30, true), row("b", 30, false)]);
        let now = DateTime::UNIX_EPOCH;
        assert!(standing.judge(&peer("b"), now).is_ok());
        assert!(matches!(
            standing.judge(&peer("a"), now),
            Err(NotAdmitted::Revoked { .. })
        ));
    }

    #[test]
    fn removal_is_at_once_and_nobody_is_a_stranger() {
        let mut standing = Standing::of(&[row("a", 30, false)]);
        let now = DateTime::UNIX_EPOCH;
        standing.remove("host/web-1", ["a".to_owned()]);
        assert!(matches!(
            standing.judge(&peer("a"), now),
            Err(NotAdmitted::Revoked { .. })
        ));
        assert!(matches!(
            standing.judge(&peer("c"), now),
            Err(NotAdmitted::NotEnrolled { .. })
        ));
        let nobody = PeerInfo {
            identity: None,
            serial: None,
            ..peer("a")
        };
        assert_eq!(standing.judge(&nobody, now), Err(NotAdmitted::Nobody));
    }
}
