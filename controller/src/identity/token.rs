//! Whether a token is good: a pure decision with its reason.

use chrono::{DateTime, Utc};

use crate::catalog::TokenRow;

/// Why a token does not lead to a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("this is not the secret of an enrolment token: was it copied whole?")]
    Malformed,
    #[error(
        "the enrolment token is unknown to this controller: it was mistyped, or it is from \
         another controller; {}",
        NEW
    )]
    Unknown,
    #[error("the enrolment token for {subject} expired at {at}; {}", NEW)]
    Expired { subject: String, at: DateTime<Utc> },
    #[error(
        "the enrolment token for {subject} was used at {at} from {from}, and it is good for once: \
         if that was not you, remove {subject} now; {}",
        NEW
    )]
    Used {
        subject: String,
        at: DateTime<Utc>,
        from: String,
    },
    #[error(
        "the enrolment token for {subject} was withdrawn at {at}, by a newer one or because \
         {subject} was removed; {}",
        NEW
    )]
    Withdrawn { subject: String, at: DateTime<Utc> },
}

const NEW: &str = "make a new one with `ctl host enrol` or `ctl operator invite`";

/// Facts: the row, if there is one.
///
/// # Errors
/// The reason for which the token is not good at `now`.
pub fn judge(row: Option<TokenRow>, now: DateTime<Utc>) -> Result<TokenRow, TokenRefusal> {
    let row = row.ok_or(TokenRefusal::Unknown)?;
    let subject = row.subject.clone();
    if let Some(at) = row.used_at {
        let from = row.used_from.unwrap_or_default();
        return Err(TokenRefusal::Used { subject, at, from });
    }
    if let Some(at) = row.withdrawn_at {
        return Err(TokenRefusal::Withdrawn { subject, at });
    }
    if row.expires_at <= now {
        let at = row.expires_at;
        return Err(TokenRefusal::Expired { subject, at });
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn row(now: DateTime<Utc>) -> TokenRow {
        TokenRow {
            subject: "host/web-1".into(),
            role: None,
            expires_at: now + TimeDelta::hours(1),
            used_at: None,
            used_from: None,
            withdrawn_at: None,
        }
    }

    #[test]
    fn a_fresh_token_is_good_until_its_last_moment() {
        let now = Utc::now();
        assert!(judge(Some(row(now)), now).is_ok());
        let end = now + TimeDelta::hours(1);
        assert!(judge(Some(row(now)), end - TimeDelta::milliseconds(1)).is_ok());
        assert!(matches!(
            judge(Some(row(now)), end),
            Err(TokenRefusal::Expired { .. })
        ));
    }

    #[test]
    fn each_refusal_has_its_words() {
        let now = Utc::now();
        let used = TokenRow {
            used_at: Some(now),
            used_from: Some("10.0.0.7".into()),
            ..row(now)
        };
        let withdrawn = TokenRow {
            withdrawn_at: Some(now),
            ..row(now)
        };
        let texts = [
            judge(None, now),
            judge(Some(used), now),
            judge(Some(withdrawn), now),
            judge(Some(row(now)), now + TimeDelta::hours(2)),
        ]
        .map(|refused| refused.unwrap_err().to_string());
        for (text, word) in texts
            .iter()
            .zip(["is unknown", "was used", "withdrawn", "expired"])
        {
            assert!(text.contains(word), "{text}");
            assert!(text.ends_with(NEW), "{text}");
        }
    }
}
