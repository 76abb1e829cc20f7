//! Where the controller listens, and what it calls itself.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// An address that is ours and not open yet: it is opened when there is somebody to answer.
#[derive(Debug)]
pub struct Reserved {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// # Errors
    /// When another program has the address, or this machine has not.
    pub fn take(address: SocketAddr) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Connections of a controller that ended a moment ago must not keep the next one away.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// With the port that the kernel chose when none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// # Errors
    /// When another program took the address meanwhile.
    pub fn open(self) -> io::Result<TcpListener> {
        self.socket.listen(BACKLOG)
    }
}

/// What agents and operators are told to dial.
pub fn advertised(configured: Option<&str>, listening: SocketAddr) -> String {
    match configured {
        Some(address) => address.to_owned(),
        None if listening.ip().is_unspecified() => {
            let name = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned();
            format!("{name}:{}", listening.port())
        }
        None => listening.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reserved_address_is_taken_but_not_open() {
        let reserved = Reserved::take("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = reserved.address();
        assert_ne!(address.port(), 0);
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
        let listener = reserved.open().unwrap();
        let (_client, accepted) =
            tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
        accepted.unwrap();
        assert!(Reserved::take(address).and_then(Reserved::open).is_err());
    }

    #[test]
    fn the_advertised_address_can_be_dialled() {
        let any: SocketAddr = "0.0.0.0:7443".parse().unwrap();
        assert_eq!(advertised(Some("c.example:1"), any), "c.example:1");
        let own = advertised(None, any);
        assert!(
            own.ends_with(":7443") && !own.starts_with("0.0.0.0"),
            "{own}"
        );
        assert_eq!(
            advertised(None, "10.0.0.1:7443".parse().unwrap()),
            "10.0.0.1:7443"
        );
    }
}
