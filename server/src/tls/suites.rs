//! Cipher suites, curves and versions: from the names of the configuration to
//! what rustls with ring has.

use gust_config::options::tls::TlsOptions;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SupportedCipherSuite};

/// The provider for a block. What is configured but not available is named in
/// `warnings`; nothing left is an error.
pub fn provider(tls: &TlsOptions, warnings: &mut Vec<String>) -> Result<CryptoProvider, String> {
    let mut provider = ring::default_provider();
    // AES-128 first: a fifth faster than AES-256 and not known to be weaker in
    // practice. ChaCha20 is for those who offer nothing else.
    provider.cipher_suites.sort_by_key(|s| match suite_name(s.suite()).unwrap_or_default() {
        name if name.contains("CHACHA20") => 2,
        name if name.contains("AES_128") => 0,
        _ => 1,
    });
    if !tls.cipher_suites.is_empty() {
        provider.cipher_suites = chosen_suites(&tls.cipher_suites, warnings)?;
    }
    if !tls.curve_preferences.is_empty() {
        provider.kx_groups = chosen_curves(&tls.curve_preferences, warnings)?;
    }
    Ok(provider)
}

/// As in nats-server a list without names of TLS 1.3 leaves those of TLS 1.3 as
/// they are.
fn chosen_suites(
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<SupportedCipherSuite>, String> {
    let all = ring::ALL_CIPHER_SUITES;
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    for name in names {
        match all.iter().find(|s| suite_name(s.suite()) == Some(name)) {
            Some(s) if chosen.contains(s) => {}
            Some(s) => chosen.push(*s),
            None => warnings.push(format!(
                "cipher suite {name} is not available here (only AEAD suites with forward secrecy \
                 are) and is left out"
            )),
        }
    }
    if chosen.is_empty() {
        return Err(format!(
            "none of the configured cipher_suites is available; list one of {} or remove the \
             setting",
            suite_names(all)
        ));
    }
    if !chosen.iter().any(|s| s.tls13().is_some()) {
        chosen.extend(all.iter().filter(|s| s.tls13().is_some()));
    }
    Ok(chosen)
}

fn chosen_curves(
    names: &[String],
    warnings: &mut Vec<String>,
) -> Result<Vec<&'static dyn SupportedKxGroup>, String> {
    let mut chosen = Vec::new();
    for name in names {
        let wanted = match name.as_str() {
            "X25519" => Some(NamedGroup::X25519),
            "CurveP256" => Some(NamedGroup::secp256r1),
            "CurveP384" => Some(NamedGroup::secp384r1),
            _ => None,
        };
        match ring::ALL_KX_GROUPS.iter().find(|g| Some(g.name()) == wanted) {
            Some(group) => chosen.push(*group),
            None => warnings.push(format!("curve {name} is not available here and is left out")),
        }
    }
    if chosen.is_empty() {
        return Err("none of the configured curve_preferences is available; list one of X25519, \
                    CurveP256, CurveP384 or remove the setting"
            .to_owned());
    }
    Ok(chosen)
}

fn suite_names(suites: &[SupportedCipherSuite]) -> String {
    suites.iter().filter_map(|s| suite_name(s.suite())).collect::<Vec<_>>().join(", ")
}

/// IANA's name of a suite, which is also what `/connz` shows.
pub fn suite_name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => return other.as_str(),
    })
}

/// `1.2` or `1.3`, as `/connz` shows it.
pub fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options(suites: &[&str], curves: &[&str]) -> TlsOptions {
        TlsOptions {
            cipher_suites: suites.iter().map(ToString::to_string).collect(),
            curve_preferences: curves.iter().map(ToString::to_string).collect(),
            ..TlsOptions::default()
        }
    }

    #[test]
    fn listed_suites_of_tls_12_leave_those_of_13() {
        let mut warnings = Vec::new();
        let o = options(
            &["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"],
            &["CurveP521", "X25519"],
        );
        let p = provider(&o, &mut warnings).unwrap();
        let names = suite_names(&p.cipher_suites);
        assert!(names.starts_with("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_"), "{names}");
        assert_eq!(p.kx_groups.len(), 1);
        assert!(warnings[0].contains("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"), "{warnings:?}");
        assert!(warnings[1].contains("CurveP521"), "{warnings:?}");
    }

    #[test]
    fn nothing_left_is_an_error() {
        let o = options(&["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"], &[]);
        assert!(provider(&o, &mut Vec::new()).unwrap_err().contains("TLS_AES_128_GCM_SHA256"));
        let o = options(&[], &["X25519MLKEM768"]);
        assert!(provider(&o, &mut Vec::new()).unwrap_err().contains("CurveP256"));
    }

    #[test]
    fn every_suite_has_a_configurable_name() {
        for s in ring::ALL_CIPHER_SUITES {
            let name = suite_name(s.suite()).unwrap();
            assert!(gust_config::options::tls::CIPHER_SUITES.contains(&name), "{name}");
        }
    }
}
