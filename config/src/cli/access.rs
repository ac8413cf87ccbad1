//! How `gust auth explain` and `gust config diff` reach a running server: the flags of the `nats`
//! command line tool.

use std::fmt;

/// Whom to ask, and who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// `--server`: `nats://` or `tls://`, `[user:password@]` or `[token@]`, host, and port (4222).
    pub server: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--password`
    pub password: Option<String>,
    /// `--token`
    pub token: Option<String>,
    /// `--nkey`: file with the seed of a user's key.
    pub nkey: Option<String>,
    /// `--creds`: file with token and seed.
    pub creds: Option<String>,
    /// `--jwt`: file with a token, for a bearer or together with nothing else.
    pub jwt: Option<String>,
    /// `--tlsca`: authorities that may have signed the server's certificate; the system's without.
    pub tls_ca: Option<String>,
    /// `--tlscert`: certificate to present.
    pub tls_cert: Option<String>,
    /// `--tlskey`: its key.
    pub tls_key: Option<String>,
    /// `--tlsfirst`: the handshake comes before INFO.
    pub tls_first: bool,
    /// `--inbox-prefix`: start of the subject for the answer; `_INBOX` without.
    pub inbox_prefix: Option<String>,
}

/// Without passwords and tokens.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The part of the help texts that both commands share.
pub(super) const FLAGS: &str = "\
    --creds <file>           Log in with this creds file (operator mode)
    --nkey <file>            Log in with the user key whose seed is in this file
    --user, --password       Log in with user and password
    --token <token>          Log in with this token
    --tlsca <file>           Authorities of the server's certificate (else the system's)
    --tlscert, --tlskey      Certificate to present, and its key
    --tlsfirst               The TLS handshake comes before INFO; with a tls:// URL that
                             is found out without the flag
    --inbox-prefix <prefix>  Start of the subject for the answer, instead of _INBOX
";

impl Access {
    /// The place for the value of a flag (without dashes); `None`: no flag of these.
    pub(super) fn slot(&mut self, flag: &str) -> Option<&mut Option<String>> {
        Some(match flag {
            "s" | "server" => &mut self.server,
            "u" | "user" => &mut self.user,
            "password" | "pass" => &mut self.password,
            "token" => &mut self.token,
            "nkey" => &mut self.nkey,
            "creds" => &mut self.creds,
            "jwt" => &mut self.jwt,
            "tlsca" => &mut self.tls_ca,
            "tlscert" => &mut self.tls_cert,
            "tlskey" => &mut self.tls_key,
            "inbox-prefix" => &mut self.inbox_prefix,
            _ => return None,
        })
    }

    /// What contradicts itself.
    pub(super) fn check(&self) -> Result<(), String> {
        let who = [&self.user, &self.token, &self.nkey, &self.creds, &self.jwt];
        if who.iter().filter(|given| given.is_some()).count() > 1 {
            return Err("give only one of --user, --token, --nkey, --creds and --jwt".to_owned());
        }
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            return Err("--tlscert and --tlskey need each other".to_owned());
        }
        let of_servers = [
            (self.password.is_some(), "--password"),
            (self.token.is_some(), "--token"),
            (self.tls_ca.is_some(), "--tlsca"),
            (self.tls_cert.is_some(), "--tlscert"),
            (self.tls_first, "--tlsfirst"),
            (self.inbox_prefix.is_some(), "--inbox-prefix"),
        ];
        match of_servers.iter().find(|(given, _)| *given && self.server.is_none()) {
            Some((_, flag)) => Err(format!("{flag} is for asking a --server")),
            None => Ok(()),
        }
    }
}
