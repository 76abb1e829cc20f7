//! restic's cipher: AES-256 in counter mode with Poly1305-AES, a random nonce in front.

use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, aead::Aead};
use rand::RngCore as _;
use rustic_core::{ErrorKind, RusticError, RusticResult};

use crate::key::RepositoryKey;

pub(super) struct Seal(Aes256CtrPoly1305Aes);

impl Seal {
    pub(super) fn new(key: &RepositoryKey) -> RusticResult<Self> {
        let key: [u8; 64] = key
            .cipher_key()
            .try_into()
            .map_err(|_| wrong("The key of the repository has another length."))?;
        Ok(Self(Aes256CtrPoly1305Aes::new(&key.into())))
    }

    /// Encrypted, and decrypted again to see that it was.
    pub(super) fn close(&self, plain: &[u8]) -> RusticResult<Vec<u8>> {
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = self
            .0
            .encrypt(&nonce.into(), plain)
            .map_err(|_| wrong("Encrypting failed."))?;
        let back = self
            .0
            .decrypt(&nonce.into(), sealed.as_slice())
            .map_err(|_| wrong("What was encrypted cannot be decrypted."))?;
        if back != plain {
            return Err(wrong("What was encrypted decrypts to something else."));
        }
        Ok([nonce.as_slice(), sealed.as_slice()].concat())
    }
}

fn wrong(what: &'static str) -> Box<RusticError> {
    RusticError::new(ErrorKind::Cryptography, what)
}
