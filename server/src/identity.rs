//! Who the server is: a key pair that signs, whose public key is the server id,
//! and a curve key pair that seals. Both are new at each start.

use crate::clock;
use gust_account::nkey::{CurveKeyPair, KeyKind, KeyPair};

/// The key pairs of a running server.
#[derive(Debug)]
pub struct ServerKeys {
    /// `N…`: signs what the server asserts, such as authorization requests.
    pub server: KeyPair,
    /// `X…`: offered in INFO as `xkey`.
    pub curve: CurveKeyPair,
}

impl ServerKeys {
    /// New pairs from the random bytes of the operating system.
    pub fn generate() -> ServerKeys {
        let server = KeyPair::from_random(KeyKind::Server, clock::secret());
        ServerKeys {
            server: server.expect("any 32 bytes make a signing key"),
            curve: CurveKeyPair::from_random(clock::secret()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gust_account::nkey::{is_public, verify};

    #[test]
    fn keys_are_real_and_new_each_time() {
        let (a, b) = (ServerKeys::generate(), ServerKeys::generate());
        assert!(is_public(a.server.public(), KeyKind::Server));
        assert!(is_public(a.curve.public(), KeyKind::Curve));
        assert!(verify(a.server.public(), b"x", &a.server.sign(b"x")));
        assert_ne!(a.server.public(), b.server.public());
        assert_ne!(a.curve.public(), b.curve.public());
    }
}
