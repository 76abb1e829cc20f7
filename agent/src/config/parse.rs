//! Texts to values; the error says what would be right.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::LogFormat;

pub fn absolute_path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be an absolute path, such as /var/lib/holdfast-agent".to_owned())
    }
}

pub fn absolute_paths(text: &str) -> Result<Vec<PathBuf>, String> {
    parts(text).map(absolute_path).collect()
}

pub fn socket_address_or_off(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        "must be \"off\" or an IP address and a port, such as 0.0.0.0:7444 or [::]:7444".to_owned()
    })
}

pub fn hosts_and_ports(text: &str) -> Result<Vec<String>, String> {
    parts(text).map(host_and_port).collect()
}

pub fn at_least_one_second(text: &str) -> Result<Duration, String> {
    let value = humantime::parse_duration(text)
        .map_err(|error| format!("must be a duration such as 30s or 5m ({error})"))?;
    if value < Duration::from_secs(1) {
        return Err("must be at least 1s".to_owned());
    }
    Ok(value)
}

pub fn up_to_64(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number <= 64)
        .ok_or_else(|| "must be a whole number from 0 to 64".to_owned())
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

fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || {
        "must be a host name or address and a port, such as controller.example.com:7443".to_owned()
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
    let odd = |c: char| c.is_whitespace() || c == '/' || c == '@';
    if host.is_empty() || port == 0 || bare_v6 || host.chars().any(odd) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for right in ["a.example:1", "10.0.0.1:7443", "[fd00::1]:7443"] {
            assert_eq!(hosts_and_ports(right).unwrap(), [right]);
        }
        for wrong in ["a.example", ":1", "a:0", "fd00::1:7443", "https://a:1"] {
            assert!(hosts_and_ports(wrong).is_err(), "{wrong}");
        }
        assert_eq!(hosts_and_ports("a:1, b:2").unwrap(), ["a:1", "b:2"]);
    }
}
