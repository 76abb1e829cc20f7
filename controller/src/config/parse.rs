//! Texts to values; the error says what would be right.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Address of the catalog; may hold a password, so it is never shown whole.
#[derive(Clone, PartialEq, Eq)]
pub struct CatalogUrl(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl CatalogUrl {
    /// With the password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// How sqlx connects there. Over a network with TLS and a verified name, unless the address
    /// itself says otherwise (`sslmode=`).
    ///
    /// # Errors
    /// Never for one that was read from a configuration: that was tried.
    pub fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = PgConnectOptions::from_str(&self.0)?;
        if says_ssl_mode(&self.0) || is_local(&options) {
            return Ok(options);
        }
        Ok(options.ssl_mode(PgSslMode::VerifyFull))
    }
}

impl fmt::Debug for CatalogUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

fn says_ssl_mode(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query
        .split('&')
        .any(|part| part.starts_with("sslmode=") || part.starts_with("ssl-mode="))
}

/// On this machine: what is said does not leave it.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// The address without what stands between the user's name and the host, and without a `password=`.
pub fn redact(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "(hidden)".to_owned();
    };
    let (address, query) = rest
        .split_once('?')
        .map_or((rest, None), |(address, query)| (address, Some(query)));
    let address = match address.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    let query = query.map(|query| {
        let parts = query.split('&').map(|part| match part.split_once('=') {
            Some((name, _)) if name.eq_ignore_ascii_case("password") => format!("{name}=***"),
            _ => part.to_owned(),
        });
        format!("?{}", parts.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{address}{}", query.unwrap_or_default())
}

pub fn absolute_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be an absolute path, such as /var/lib/holdfast".to_owned())
    }
}

pub fn repository_location(text: &str) -> Result<String, String> {
    let good = match text.split_once("://") {
        Some((scheme, rest)) => {
            ["s3", "gs", "az"].contains(&scheme) && !rest.is_empty() && !rest.contains(['@', '?'])
        }
        None => text.starts_with('/'),
    };
    if good {
        Ok(text.to_owned())
    } else {
        Err("must be an absolute path, or a bucket such as s3://backups/holdfast (gs://, az://), without credentials".to_owned())
    }
}

pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "must be an IP address and a port, such as 0.0.0.0:7443 or [::]:7443".to_owned()
    })
}

pub fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || {
        "must be a host name or address and a port, such as controller.example.com:7443".to_owned()
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let odd = host
        .chars()
        .any(|c| c.is_whitespace() || c == '/' || c == '@');
    if host.is_empty() || port == 0 || bare_v6 || odd {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

pub fn catalog_url(text: &str) -> Result<CatalogUrl, String> {
    let example = "must be an address such as postgres://user@host:5432/database";
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(example.to_owned());
    }
    let options =
        PgConnectOptions::from_str(text).map_err(|error| format!("{example} ({error})"))?;
    match options.get_database() {
        Some(_) => Ok(CatalogUrl(text.to_owned())),
        None => Err(format!("{example}: the database is missing")),
    }
}

pub fn text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(text.to_owned())
}

pub fn log_filter(text: &str) -> Result<String, String> {
    let reason =
        |error| format!("must be a level or target=level pairs with commas between them ({error})");
    holdfast_chassis::telemetry::check_filter(text).map_err(reason)?;
    Ok(text.to_owned())
}

pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("must be a duration such as 30s, 10m, 24h or 7days ({error})"))
}

pub fn at_least_one_second(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(1))
}

pub fn at_least_ten_seconds(text: &str) -> Result<Duration, String> {
    at_least(text, Duration::from_secs(10))
}

pub fn from_1_to_1000(text: &str) -> Result<u32, String> {
    number(text, 1, 1000)
}

pub fn from_1_to_10000(text: &str) -> Result<u32, String> {
    number(text, 1, 10_000)
}

fn at_least(text: &str, least: Duration) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < least {
        return Err(format!(
            "must be at least {}",
            humantime::format_duration(least)
        ));
    }
    Ok(value)
}

fn number<T: FromStr + PartialOrd + fmt::Display>(
    text: &str,
    least: T,
    most: T,
) -> Result<T, String> {
    text.parse()
        .ok()
        .filter(|value| (&least..=&most).contains(&value))
        .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_taken_out_of_addresses() {
        assert_eq!(
            redact("postgres://a:b:c@d@host/x"),
            "postgres://a:***@host/x"
        );
        assert_eq!(
            redact("postgres://a@host/x?sslmode=require&password=p"),
            "postgres://a@host/x?sslmode=require&password=***"
        );
        assert_eq!(redact("host=a password=b"), "(hidden)");
    }

    #[test]
    fn a_catalog_over_a_network_is_verified_unless_the_address_says_otherwise() {
        let mode = |url: &str| {
            format!(
                "{:?}",
                catalog_url(url).unwrap().options().unwrap().get_ssl_mode()
            )
        };
        assert_eq!(mode("postgres://a@db.example/x"), "VerifyFull");
        assert_eq!(mode("postgres://a@10.0.0.1/x"), "VerifyFull");
        assert_eq!(mode("postgres://a@db.example/x?sslmode=disable"), "Disable");
        for local in ["localhost", "127.0.0.1", "[::1]", "%2Frun%2Fpostgresql"] {
            assert_eq!(
                mode(&format!("postgres://a@{local}/x")),
                "Prefer",
                "{local}"
            );
        }
    }

    #[test]
    fn an_advertised_address_has_a_host_and_a_port() {
        for right in ["a.example:1", "10.0.0.1:7443", "[fd00::1]:7443"] {
            assert!(host_and_port(right).is_ok(), "{right}");
        }
        for wrong in [
            "a.example",
            ":1",
            "a:0",
            "fd00::1:7443",
            "https://a:1",
            "a:70000",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_log_filter_is_one_that_the_log_understands() {
        assert!(log_filter("info,holdfast_controller=debug").is_ok());
        assert!(log_filter("holdfast=loud").is_err());
    }

    #[test]
    fn a_duration_has_a_unit_and_a_least_value() {
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86400)));
        assert!(duration("24").is_err());
        assert!(at_least_ten_seconds("9s").is_err());
    }
}
