//! One-time tokens: a secret, and the fingerprint of the authority that will know it.
//!
//! `hf1_<secret>_<fingerprint>`, both 32 bytes in base64url without padding (43 characters).

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

const PREFIX: &str = "hf1_";
const PART: usize = 43;

/// 32 random bytes that are shown to nobody but their holder.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// SHA-256 of an authority's certificate (DER).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// What `ctl host enrol` prints and `holdfast-agent join` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    pub secret: Secret,
    pub authority: Fingerprint,
}

/// Why a text is no token. The text itself is never repeated: it may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("this is not an enrolment token: it begins with hf1_ when copied whole")]
    Prefix,
    #[error("the enrolment token has {0} characters instead of 91: it was not copied whole")]
    Length(usize),
    #[error("the enrolment token holds characters that none has: it was not copied as printed")]
    Characters,
}

impl Secret {
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// What is stored and looked up instead of the secret.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// As it travels in `EnrolRequest.token`.
    #[must_use]
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads [`Secret::reveal`] back.
    ///
    /// # Errors
    /// When it is not 32 bytes in base64url.
    pub fn from_revealed(text: &str) -> Result<Self, TokenError> {
        decode(text).map(Self)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Fingerprint {
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl EnrolmentToken {
    /// The whole text, secret included: for the one who will use it, and for nothing else.
    #[must_use]
    pub fn reveal(&self) -> String {
        let authority = URL_SAFE_NO_PAD.encode(self.authority.0);
        format!("{PREFIX}{}_{authority}", self.secret.reveal())
    }
}

impl FromStr for EnrolmentToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if text.len() != PREFIX.len() + 2 * PART + 1 {
            return Err(TokenError::Length(text.chars().count()));
        }
        // base64url has '_' among its characters: the parts are told apart by their length.
        let secret = rest.get(..PART).ok_or(TokenError::Characters)?;
        let authority = rest
            .get(PART..)
            .and_then(|rest| rest.strip_prefix('_'))
            .ok_or(TokenError::Characters)?;
        Ok(Self {
            secret: Secret(decode(secret)?),
            authority: Fingerprint(decode(authority)?),
        })
    }
}

fn decode(text: &str) -> Result<[u8; 32], TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(TokenError::Characters)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tokens_read_back(secret: [u8; 32], authority: [u8; 32]) {
            let token = EnrolmentToken { secret: Secret(secret), authority: Fingerprint(authority) };
            let text = token.reveal();
            prop_assert_eq!(text.len(), 91);
            prop_assert_eq!(text.parse::<EnrolmentToken>(), Ok(token));
        }

        #[test]
        fn any_text_is_answered(text in "(hf1_)?\\PC{0,100}") {
            let _ = text.parse::<EnrolmentToken>();
        }
    }

    #[test]
    fn each_damage_has_its_message() {
        let token = EnrolmentToken {
            secret: Secret([7; 32]),
            authority: Fingerprint([9; 32]),
        };
        let text = token.reveal();
        let parse = |text: &str| text.parse::<EnrolmentToken>().unwrap_err();
        assert_eq!(parse("whatever"), TokenError::Prefix);
        assert_eq!(parse(&text[..80]), TokenError::Length(80));
        assert_eq!(parse(&text.replace('B', "!")), TokenError::Characters);
        assert!(format!(" {text}\n").parse::<EnrolmentToken>().is_ok());
    }

    #[test]
    fn debug_shows_no_secret() {
        let token = EnrolmentToken {
            secret: Secret([7; 32]),
            authority: Fingerprint([9; 32]),
        };
        assert!(!format!("{token:?}").contains(&token.secret.reveal()));
    }
}
