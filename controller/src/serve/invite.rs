//! `holdfast-controller invite-admin`: a token for an admin, made on the controller's own machine.
//!
//! It works while the controller runs (then through the running private server) and while it does not.

use holdfast_chassis::clock::SharedClock;
use holdfast_proto::names::OperatorName;

use super::{
    ServeError,
    backing::{Backing, embedded},
    running::identity_settings,
};
use crate::{
    config::Config,
    identity::{Invitation, Registrar},
    state_dir::{StateDir, StateDirError},
};

/// # Errors
/// When the catalog or the authority cannot be used, or the operator has another role already.
pub async fn invite_admin(
    config: &Config,
    name: &OperatorName,
    clock: SharedClock,
) -> Result<Invitation, ServeError> {
    match StateDir::open(&config.state_dir) {
        Ok(state_dir) => {
            let backing = Box::pin(Backing::start(config, state_dir.path(), clock)).await?;
            let invitation = invite(config, &backing, name, state_dir.path()).await;
            backing.stop().await;
            invitation
        }
        Err(StateDirError::Locked { path, .. }) => {
            let options = match &config.catalog.url {
                Some(url) => url.options().map_err(ServeError::CatalogUrl)?,
                None => embedded(config, &path)
                    .running()
                    .ok_or(ServeError::NotReady)?,
            };
            let backing = Backing::attach(options, &path, clock).await?;
            let invitation = invite(config, &backing, name, &path).await;
            backing.stop().await;
            invitation
        }
        Err(error) => Err(error.into()),
    }
}

async fn invite(
    config: &Config,
    backing: &Backing,
    name: &OperatorName,
    state_dir: &std::path::Path,
) -> Result<Invitation, ServeError> {
    let settings = identity_settings(config, state_dir, config.listen);
    let registrar = Registrar::open(settings, backing.catalog.clone()).await?;
    Ok(registrar.invite_admin(name).await?)
}
