//! Proving who we are on a bare socket: trust, password, MD5, SCRAM-SHA-256.

use fallible_iterator::FallibleIterator;
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{
        backend::{AuthenticationSaslBody, Message},
        frontend,
    },
};

use super::session::{RawError, RawSession};
use crate::engine::postgres::route::{ConnectError, Route};

/// Answers what the server asks until it is satisfied.
pub(super) async fn authenticate(session: &mut RawSession, route: &Route) -> Result<(), RawError> {
    match session.message().await? {
        Message::AuthenticationOk => return Ok(()),
        Message::AuthenticationCleartextPassword => {
            let password = password(route)?;
            send(session, password.as_bytes()).await?;
        }
        Message::AuthenticationMd5Password(body) => {
            let hash = md5_hash(
                route.user.as_bytes(),
                password(route)?.as_bytes(),
                body.salt(),
            );
            send(session, hash.as_bytes()).await?;
        }
        Message::AuthenticationSasl(body) => scram(session, route, &body).await?,
        _ => {
            return Err(RawError::Protocol(
                "it asks for a kind of authentication that is not known here".to_owned(),
            ));
        }
    }
    match session.message().await? {
        Message::AuthenticationOk => Ok(()),
        _ => Err(RawError::Protocol(
            "no end of the authentication".to_owned(),
        )),
    }
}

async fn scram(
    session: &mut RawSession,
    route: &Route,
    offer: &AuthenticationSaslBody,
) -> Result<(), RawError> {
    let known = offer
        .mechanisms()
        .any(|mechanism| Ok(mechanism == SCRAM_SHA_256))
        .map_err(RawError::Broken)?;
    if !known {
        return Err(RawError::Protocol(
            "it offers no SCRAM-SHA-256 authentication".to_owned(),
        ));
    }
    let mut exchange = ScramSha256::new(password(route)?.as_bytes(), ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, exchange.message(), session.outbox())
        .map_err(RawError::Broken)?;
    session.flush().await?;
    let Message::AuthenticationSaslContinue(body) = session.message().await? else {
        return Err(RawError::Protocol("no challenge in SCRAM".to_owned()));
    };
    exchange.update(body.data()).map_err(RawError::Broken)?;
    frontend::sasl_response(exchange.message(), session.outbox()).map_err(RawError::Broken)?;
    session.flush().await?;
    let Message::AuthenticationSaslFinal(body) = session.message().await? else {
        return Err(RawError::Protocol("no end of SCRAM".to_owned()));
    };
    exchange.finish(body.data()).map_err(RawError::Broken)
}

async fn send(session: &mut RawSession, password: &[u8]) -> Result<(), RawError> {
    frontend::password_message(password, session.outbox()).map_err(RawError::Broken)?;
    session.flush().await
}

fn password(route: &Route) -> Result<&str, RawError> {
    match &route.password {
        Some(secret) => Ok(secret.expose()),
        None => Err(RawError::Connect(ConnectError::PasswordUnknown {
            user: route.user.clone(),
            how: route.how.clone(),
        })),
    }
}
