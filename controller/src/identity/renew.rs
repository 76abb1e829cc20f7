//! The next certificate for whoever has a good one: same name, same role, a new key.

use holdfast_chassis::tls::PeerInfo;

use super::{
    IdentityError, NotAdmitted, Registrar,
    invite::{begin, commit},
};
use crate::{audit::Outcome, catalog::certificate};

impl Registrar {
    /// Signs the request for the identity that the caller's own certificate proves. Returns the
    /// chain, leaf first, PEM. The old certificate stays good until its time is over.
    ///
    /// # Errors
    /// When the caller is not let in (any more), the request is not one, or the catalog fails.
    pub async fn renew(&self, peer: &PeerInfo, request: &[u8]) -> Result<String, IdentityError> {
        self.admit(peer)?;
        let (Some(identity), Some(serial)) = (&peer.identity, &peer.serial) else {
            return Err(NotAdmitted::Nobody.into());
        };
        let subject = identity.to_string();
        let (certificate, chain) = self.sign(request, identity)?;
        let _changing = self.0.changing.lock().await;
        let mut transaction = self.0.catalog.begin().await.map_err(begin())?;
        certificate::lock_subject(&mut transaction, &subject).await?;
        // Asked again under the lock: a removal on another controller may have come between.
        if !certificate::is_unrevoked(&mut transaction, serial).await? {
            return Err(NotAdmitted::Revoked { subject }.into());
        }
        let now = self.0.clock.now();
        certificate::insert_certificate(&mut transaction, &certificate, now).await?;
        transaction.commit().await.map_err(commit())?;
        self.set_standing(|standing| standing.extend(&subject, certificate.expires_at));
        let until = certificate.expires_at.format("%Y-%m-%d %H:%M:%SZ");
        let detail = format!("serial {}, until {until}", certificate.serial);
        self.audit(
            &subject,
            "certificate.renew",
            &subject,
            Outcome::Ok,
            &detail,
        )
        .await;
        Ok(chain)
    }
}
