//! A wire to a server that tells when a COMMIT goes through, and keeps back what the server says to it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Notify, watch},
};

const COMMIT: &[u8] = b"COMMIT\0";

pub struct Proxy {
    pub port: u16,
    /// A COMMIT is on its way, and nobody will hear of its end before [`Proxy::answer`].
    pub committing: Arc<Notify>,
    /// COMMITs until now, and how many of them may be answered.
    commits: Arc<AtomicU64>,
    answered: watch::Sender<u64>,
}

impl Proxy {
    /// To the server at `host:port`.
    pub async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let committing = Arc::new(Notify::new());
        let (answered, answers) = watch::channel(0);
        let commits = Arc::new(AtomicU64::new(0));
        let (tell, count) = (Arc::clone(&committing), Arc::clone(&commits));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.expect("the server");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = upstream.into_split();
                let (held, holds) = watch::channel(0);
                let (tell, count) = (Arc::clone(&tell), Arc::clone(&count));
                let tell = move || {
                    let _ = held.send(count.fetch_add(1, Ordering::SeqCst) + 1);
                    tell.notify_one();
                };
                tokio::spawn(forth(from_client, to_server, tell));
                tokio::spawn(back(from_server, to_client, holds, answers.clone()));
            }
        });
        Self {
            port,
            committing,
            commits,
            answered,
        }
    }

    /// Lets the answers through to all COMMITs until now.
    pub fn answer(&self) {
        let _ = self.answered.send(self.commits.load(Ordering::SeqCst));
    }
}

async fn forth(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, tell: impl Fn()) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let piece = &buffer[..length];
        if piece.windows(COMMIT.len()).any(|window| window == COMMIT) {
            tell();
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

async fn back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    commit: watch::Receiver<u64>,
    mut answered: watch::Receiver<u64>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let last = *commit.borrow();
        let _ = answered.wait_for(|answered| *answered >= last).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
