//! The registrar: holds the authority and knows who is let in.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use holdfast_chassis::{
    clock::SharedClock,
    identity::{Authority, Credentials, Identity, NewKey, Validity},
    tls::{PeerInfo, Refusal, Revoked, Roots, RotatingIdentity, ServerTls, serve_incoming},
};
use tokio::{net::TcpListener, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    IdentityError, NotAdmitted, Standing, authority_files, peer_refused::Budgets, repeats::Repeats,
    throttle::Throttle,
};
use crate::{audit::Outcome, catalog::Catalog};

/// Certificates stay known so long after their end, so that a late comer is told why.
const MEMORY: TimeDelta = TimeDelta::days(90);
/// How often the catalog is asked what other controllers issued and revoked.
const REFRESH: Duration = Duration::from_secs(5);
/// How often the controller looks whether its own certificate is due.
const TICK: Duration = Duration::from_millis(500);

/// What the configuration says about identities.
#[derive(Debug, Clone)]
pub struct Settings {
    pub state_dir: PathBuf,
    /// Of every certificate that is issued, the controller's own too.
    pub certificate_life: Duration,
    /// How long a one-time token can be used.
    pub token_life: Duration,
    /// `host:port` under which hosts and operators reach this controller, as printed in the
    /// commands to enrol.
    pub address: String,
}

/// Cheap to clone; all clones are the same registrar.
#[derive(Clone)]
pub struct Registrar(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub settings: Settings,
    pub authority: Authority,
    pub roots: Roots,
    pub catalog: Catalog,
    pub clock: SharedClock,
    pub server: RotatingIdentity,
    pub throttle: Mutex<Throttle>,
    revoked: Revoked,
    repeats: Mutex<Repeats>,
    pub(super) peer_budgets: Mutex<Budgets>,
    standing: watch::Sender<Standing>,
    /// Held from a change of the catalog to the change of `standing` that follows from it: a
    /// refresh that read before must not overwrite it.
    pub changing: tokio::sync::Mutex<()>,
}

impl Registrar {
    /// Opens the authority (makes it at the first start), issues the controller's own
    /// certificate, and loads who is revoked.
    ///
    /// # Errors
    /// When the authority's files are damaged or lost, the state directory cannot be written, or the
    /// catalog fails.
    pub async fn open(settings: Settings, catalog: Catalog) -> Result<Self, IdentityError> {
        let clock = catalog.clock.clone();
        let enrolled = catalog.enrolled_subjects("%").await?.len();
        let authority = authority_files::open(&settings.state_dir, enrolled, clock.now())?;
        let roots = Roots::from_pem(authority.certificate_pem())?;
        let own = own_credentials(&authority, clock.now(), settings.certificate_life)?;
        let registrar = Self(Arc::new(Inner {
            settings,
            authority,
            roots,
            catalog,
            clock,
            server: RotatingIdentity::new(own),
            throttle: Mutex::default(),
            revoked: Revoked::default(),
            repeats: Mutex::default(),
            peer_budgets: Mutex::default(),
            standing: watch::Sender::new(Standing::default()),
            changing: tokio::sync::Mutex::new(()),
        }));
        registrar.refresh().await?;
        Ok(registrar)
    }

    /// Connections for tonic's `serve_with_incoming`; refused ones are audited.
    ///
    /// # Errors
    /// When the authority cannot verify certificates.
    pub fn incoming(
        &self,
        listener: TcpListener,
    ) -> Result<holdfast_chassis::tls::Incoming, IdentityError> {
        let Inner {
            server,
            roots,
            revoked,
            clock,
            ..
        } = &*self.0;
        let tls = ServerTls::new(server.clone(), roots, revoked.clone(), clock.clone())?;
        let registrar = self.clone();
        let on_refusal = move |refusal| registrar.connection_refused(refusal);
        Ok(serve_incoming(listener, tls, on_refusal))
    }

    /// Signs a statement of the controller's with the authority's key; gives the signature and the authority's
    /// certificate.
    ///
    /// # Errors
    /// When the authority cannot sign.
    pub fn sign_statement(&self, statement: &[u8]) -> Result<(Vec<u8>, String), IdentityError> {
        let authority = &self.0.authority;
        let signature = authority.sign(statement)?;
        Ok((signature, authority.certificate_pem().to_owned()))
    }

    /// The authority to trust, PEM.
    #[must_use]
    pub fn roots(&self) -> &Roots {
        &self.0.roots
    }

    /// Whether the peer of a request is let in now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(&self, peer: &PeerInfo) -> Result<(), NotAdmitted> {
        let now = self.0.clock.now();
        self.0.standing.borrow().judge(peer, now).map(drop)
    }

    /// Waits until the peer is no longer let in: revoked, or expired without a renewal. For
    /// sessions, which outlive the judgement of their first request.
    pub async fn until_not_admitted(&self, peer: &PeerInfo) -> NotAdmitted {
        let mut changes = self.0.standing.subscribe();
        loop {
            let now = self.0.clock.now();
            let judged = changes.borrow_and_update().judge(peer, now);
            let until = match judged {
                Ok(until) => until,
                Err(refused) => return refused,
            };
            // At most a minute, so that a clock that is set does not matter for long.
            let left = (until - now).to_std().unwrap_or_default();
            tokio::select! {
                // The sender lives in this registrar.
                _ = changes.changed() => {}
                () = sleep(left.min(Duration::from_secs(60)) + Duration::from_millis(1)) => {}
            }
        }
    }

    /// Audits that a caller with a good certificate asked for what is not his, and says so to it.
    #[must_use]
    pub fn refuse(
        &self,
        peer: &PeerInfo,
        call: &str,
        wrong: impl fmt::Display + Into<Status>,
    ) -> Status {
        self.note_refused("rpc.refused", &peer.actor(), call, &wrong.to_string());
        wrong.into()
    }

    /// Renews the controller's own certificate and learns what other controllers changed, until
    /// cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut refreshed = tokio::time::Instant::now();
        while cancel.run_until_cancelled(sleep(TICK)).await.is_some() {
            if self.0.server.certificate().renew_at() <= self.0.clock.now() {
                log_failure("renew the controller's certificate", self.renew_own());
            }
            if refreshed.elapsed() >= REFRESH {
                log_failure("read who is revoked", self.refresh().await);
                refreshed = tokio::time::Instant::now();
            }
        }
    }

    /// Reads the whole standing from the catalog again.
    ///
    /// # Errors
    /// When the catalog fails; the standing is then the old one.
    pub async fn refresh(&self) -> Result<(), IdentityError> {
        let _changing = self.0.changing.lock().await;
        let since = self.0.clock.now() - MEMORY;
        let rows = self.0.catalog.certificates_since(since).await?;
        self.set_standing(|standing| *standing = Standing::of(&rows));
        Ok(())
    }

    pub(super) fn set_standing(&self, change: impl FnOnce(&mut Standing)) {
        self.0.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            // Handshakes first: whoever is thrown out must not come in again meanwhile.
            self.0.revoked.replace(standing.revoked().clone());
            *standing != before
        });
    }

    pub(super) fn validity(&self, now: DateTime<Utc>) -> Validity {
        validity(&self.0.authority, now, self.0.settings.certificate_life)
    }

    /// Writes an audit line; that it could not be written is logged, because what it says has
    /// happened already.
    pub(super) async fn audit(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        outcome: Outcome,
        detail: &str,
    ) {
        let written = self
            .0
            .catalog
            .audit(actor, action, subject, outcome, detail)
            .await;
        if let Err(error) = written {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                actor,
                action,
                subject,
                detail,
                "an audit line could not be written"
            );
        }
    }

    /// Writes a refusal beside the caller's work; the same one at most once a minute.
    pub(super) fn note_refused(&self, action: &'static str, actor: &str, subject: &str, why: &str) {
        self.note_refusals(action, actor, subject, (why, 1));
    }

    pub(super) fn note_refusals(
        &self,
        action: &'static str,
        actor: &str,
        subject: &str,
        (why, times): (&str, u64),
    ) {
        let without_port = actor
            .parse::<SocketAddr>()
            .map_or_else(|_| actor.to_owned(), |address| address.ip().to_string());
        let key = format!("{action} {without_port} {subject} {why}");
        let now = self.0.clock.now();
        let noted = locked(&self.0.repeats).note(&key, times, now);
        let Some(unwritten) = noted else {
            tracing::debug!(action, actor, subject, why, "refused again");
            return;
        };
        tracing::warn!(action, actor, subject, why, "refused");
        let detail = match unwritten {
            0 => why.to_owned(),
            more => format!("{why} (and {more} times more since the last such line)"),
        };
        let (registrar, actor, subject) = (self.clone(), actor.to_owned(), subject.to_owned());
        tokio::spawn(async move {
            registrar
                .audit(&actor, action, &subject, Outcome::Refused, &detail)
                .await;
        });
    }

    fn connection_refused(&self, refusal: Refusal) {
        if !refusal.reason.is_worth_an_audit_line() {
            tracing::debug!(address = %refusal.address, %refusal, "a connection came to nothing");
            return;
        }
        let claimed = refusal.claimed.as_ref();
        let subject = claimed.map_or_else(String::new, |claimed| claimed.identity.to_string());
        let (actor, why) = (refusal.address.to_string(), refusal.to_string());
        self.note_refused("tls.refused", &actor, &subject, &why);
    }

    fn renew_own(&self) -> Result<(), IdentityError> {
        let Inner {
            authority,
            clock,
            settings,
            server,
            ..
        } = &*self.0;
        let own = own_credentials(authority, clock.now(), settings.certificate_life)?;
        tracing::info!(expires_at = %own.certificate().expires_at, "renewed the controller's certificate");
        server.replace(own);
        Ok(())
    }

    pub(super) fn state_dir(&self) -> &Path {
        &self.0.settings.state_dir
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar")
            .field("authority", &self.0.authority)
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// What a panicking thread left behind is still a count of wrong tokens.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The controller's key lives in memory only: a new one at each start and each renewal.
fn own_credentials(
    authority: &Authority,
    now: DateTime<Utc>,
    life: Duration,
) -> Result<Credentials, IdentityError> {
    let key = NewKey::make()?;
    let validity = validity(authority, now, life);
    let (_, chain) = authority.issue(&key.request()?, &Identity::Controller, validity)?;
    Ok(Credentials::from_answer(&key, &chain)?)
}

/// No certificate outlives its authority.
fn validity(authority: &Authority, now: DateTime<Utc>, life: Duration) -> Validity {
    let life = TimeDelta::from_std(life).unwrap_or(TimeDelta::MAX);
    Validity::starting(now, life.min(authority.expires_at() - now))
}

fn log_failure(what: &str, result: Result<(), IdentityError>) {
    if let Err(error) = result {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "could not {what}; will try again"
        );
    }
}
