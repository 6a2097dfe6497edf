//! The address of a listener, as operators write it: `127.0.0.1:8080`, `:8080` for all addresses of the machine, or
//! `localhost:8080`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The addresses of a listener. The first that can be listened on is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    text: String,
    addresses: Vec<SocketAddr>,
}

impl ListenAddress {
    /// Returns the addresses, in the order in which they are tried; at least one.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Returns true when only this machine reaches the listener, whichever of the addresses it takes.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // No message repeats the value, which the parser of the command line shows, without secrets.
        let form = "use ADDRESS:PORT such as 127.0.0.1:8080, :8080 for all addresses, or localhost:8080";
        let addresses = if let Ok(address) = text.parse() {
            vec![address]
        } else {
            let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("the port is missing: {form}"))?;
            let port: u16 = port.parse().map_err(|_| format!("the port is no number from 0 to 65535: {form}"))?;
            match host {
                // A machine without IPv6 has only the second; where it has both, the first takes connections of both.
                "" => [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)]
                    .map(|ip| SocketAddr::new(ip, port))
                    .to_vec(),
                _ => (host, port)
                    .to_socket_addrs()
                    .map_err(|error| format!("the host has no address ({error}): {form}"))?
                    .collect(),
            }
        };
        if addresses.is_empty() {
            return Err(format!("the host has no address: {form}"));
        }
        Ok(Self { text: text.to_owned(), addresses })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_operators_write_it() {
        for (text, addresses, is_loopback) in [
            ("127.0.0.1:8080", &["127.0.0.1:8080"][..], true),
            ("[::1]:8080", &["[::1]:8080"], true),
            ("[::ffff:127.0.0.1]:8080", &["[::ffff:127.0.0.1]:8080"], true),
            ("0.0.0.0:0", &["0.0.0.0:0"], false),
            (":8080", &["[::]:8080", "0.0.0.0:8080"], false),
        ] {
            let parsed: ListenAddress = text.parse().unwrap();
            let expected: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!((parsed.addresses(), parsed.is_loopback()), (&expected[..], is_loopback), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        let localhost: ListenAddress = "localhost:8080".parse().unwrap();
        assert!(localhost.is_loopback() && localhost.addresses().iter().all(|each| each.port() == 8080));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told_with_the_form() {
        for (text, problem) in [
            ("here", "the port is missing"),
            ("8080", "the port is missing"),
            ("", "the port is missing"),
            ("localhost:http", "the port is no number"),
            (":65536", "the port is no number"),
            ("127.0.0.1:", "the port is no number"),
            ("no-such-host.invalid:80", "the host has no address"),
        ] {
            let told = text.parse::<ListenAddress>().unwrap_err();
            assert!(told.contains(problem) && told.contains("use ADDRESS:PORT"), "{text}: {told}");
        }
    }
}
