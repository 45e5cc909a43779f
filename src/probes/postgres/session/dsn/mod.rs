//! Connection strings in the syntax of libpq: a URL or `key=value` pairs. A connection string is a secret as a whole:
//! error messages quote nothing of it except known keys.

mod keywords;

use std::{collections::HashMap, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::keywords::Keyword;
use crate::{
    io::tls::{Tls, Version},
    model::{failure::Invalid, secret::Secret},
    probes::postgres::Postgres,
};

/// TLS mode, as in libpq.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// No encryption.
    Disable,
    /// Encryption if the server supports it. Any certificate is accepted.
    #[default]
    Prefer,
    /// Encryption. Any certificate is accepted, unless `sslrootcert` is set: the mode then has the effect of
    /// `verify-ca`.
    Require,
    /// Encryption with a certificate of a trusted authority.
    VerifyCa,
    /// Encryption with a certificate of a trusted authority for this host.
    VerifyFull,
}

/// Whether the login is bound to the TLS connection, as in libpq.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ChannelBinding {
    Disable,
    #[default]
    Prefer,
    Require,
}

/// Configured parts of a target.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Values by the names of libpq. Contains the password until [`Parts::into_target`] wraps it.
    values: HashMap<&'static str, String>,
}

/// Target of a connection.
#[derive(Debug, Clone)]
pub(crate) struct PostgresTarget {
    pub(crate) host: String,
    /// Address to connect to; the certificate is verified for `host`.
    pub(crate) hostaddr: Option<String>,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) dbname: String,
    pub(crate) password: Option<Secret>,
    pub(crate) options: Option<String>,
    pub(crate) application_name: Option<String>,
    pub(crate) channel_binding: ChannelBinding,
    pub(crate) sslmode: SslMode,
    pub(crate) tls: Tls,
}

const FORM: &str = "write postgres://USER:PASSWORD@HOST:PORT/DBNAME or key=value pairs";

impl Parts {
    pub(crate) fn parse(dsn: &Secret) -> Result<Self, String> {
        let dsn = dsn.expose().trim();
        let url = dsn.strip_prefix("postgres://").or_else(|| dsn.strip_prefix("postgresql://"));
        let mut parts = Self::default();
        match url {
            Some(rest) => parts.read_url(rest)?,
            None => parts.read_pairs(dsn)?,
        }
        Ok(parts)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let Some((key, keyword)) = Keyword::find(key) else {
            // The key may be a piece of a password with a special character, so it is not quoted.
            let known = Keyword::honoured_names();
            return Err(format!("it has a key that is not known here; {FORM}; known keys are {known}"));
        };
        match keyword {
            Keyword::Honoured => {
                self.values.insert(key, value);
            }
            Keyword::WithoutEffect => {}
            Keyword::Only(accepted, _) if accepted.contains(&&*value) => {}
            Keyword::Only(_, advice) | Keyword::Refused(advice) => return Err(format!("`{key}`: {advice}")),
        }
        Ok(())
    }

    fn read_url(&mut self, rest: &str) -> Result<(), String> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (host, port) = split_port(host);
        for (key, text) in [("user", user), ("password", password), ("host", host), ("port", port), ("dbname", path)] {
            if !text.is_empty() {
                self.set(key, percent_decoded(text)?)?;
            }
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("a parameter has no value; {FORM}"))?;
            self.set(&percent_decoded(key)?, percent_decoded(value)?)?;
        }
        Ok(())
    }

    fn read_pairs(&mut self, text: &str) -> Result<(), String> {
        let mut chars = text.chars().peekable();
        loop {
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.peek().is_none() {
                return Ok(());
            }
            let mut key = String::new();
            while let Some(c) = chars.next_if(|c| *c != '=') {
                key.push(c);
            }
            if chars.next().is_none() {
                return Err(format!("a key has no value; {FORM}"));
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            let quoted = chars.next_if_eq(&'\'').is_some();
            let mut value = String::new();
            loop {
                match chars.next() {
                    Some('\\') => value.extend(chars.next()),
                    Some('\'') if quoted => break,
                    Some(c) if !quoted && c.is_whitespace() => break,
                    Some(c) => value.push(c),
                    None if quoted => return Err(format!("a quote is not closed; {FORM}")),
                    None => break,
                }
            }
            self.set(key.trim(), value)?;
        }
    }

    /// Overrides the parts of the connection string with other settings.
    pub(crate) fn override_with(&mut self, settings: &Postgres) {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let sslmode = settings.sslmode.and_then(|mode| serde_json::to_value(mode).ok());
        let overrides = [
            ("host", settings.host.clone()),
            ("port", settings.port.map(|port| port.to_string())),
            ("user", settings.user.clone()),
            ("dbname", settings.dbname.clone()),
            ("sslmode", sslmode.and_then(|mode| Some(mode.as_str()?.to_owned()))),
            ("sslrootcert", path(&settings.sslrootcert)),
            ("sslcert", path(&settings.sslcert)),
            ("sslkey", path(&settings.sslkey)),
        ];
        self.values.extend(overrides.into_iter().filter_map(|(key, value)| Some((key, value?))));
    }

    pub(crate) fn into_target(mut self) -> Result<PostgresTarget, Invalid> {
        let mut take = |key| self.values.remove(key).filter(|value| !value.is_empty());
        let (host, hostaddr) = (take("host"), take("hostaddr"));
        let host = host
            .or_else(|| hostaddr.clone())
            .ok_or_else(|| Invalid::at("host", "which server? Set `host` or `dsn`"))?;
        if host.contains(',') {
            return Err(Invalid::at("host", "one probe watches one server: write a probe for each host"));
        }
        let user = take("user").ok_or_else(|| Invalid::at("user", "which role logs in? Set `user`"))?;
        let port = take("port").map_or(Ok(5432), |port| port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(()));
        let port = port.map_err(|()| Invalid::at("port", "a port is a number from 1 to 65535"))?;
        let sslmode = match take("sslmode") {
            None => SslMode::default(),
            Some(mode) => serde_json::from_value(mode.into()).map_err(|_| {
                Invalid::at("sslmode", "sslmode is one of disable, prefer, require, verify-ca and verify-full")
            })?,
        };
        let channel_binding = match take("channel_binding").as_deref() {
            None | Some("prefer") => ChannelBinding::Prefer,
            Some("disable") => ChannelBinding::Disable,
            Some("require") => ChannelBinding::Require,
            Some(_) => return Err(Invalid::at("dsn", "channel_binding is one of disable, prefer and require")),
        };
        // TLS 1.2 is the oldest supported version, so an older minimum is met.
        let min_version = match take("ssl_min_protocol_version").as_deref() {
            None | Some("TLSv1" | "TLSv1.1" | "TLSv1.2") => Version::V1_2,
            Some("TLSv1.3") => Version::V1_3,
            Some(_) => return Err(Invalid::at("dsn", "ssl_min_protocol_version is TLSv1.2 or TLSv1.3")),
        };
        let max_version = match take("ssl_max_protocol_version").as_deref() {
            None => None,
            Some("TLSv1.2") if min_version == Version::V1_2 => Some(Version::V1_2),
            Some("TLSv1.3") => Some(Version::V1_3),
            Some(_) => {
                let text = "ssl_max_protocol_version is TLSv1.2 or TLSv1.3, and not below ssl_min_protocol_version";
                return Err(Invalid::at("dsn", text));
            }
        };
        let ca = take("sslrootcert");
        if ca.as_deref() == Some("system") && sslmode != SslMode::VerifyFull {
            let text = "with `sslrootcert: system` the certificate must be verified: set `sslmode: verify-full`";
            return Err(Invalid::at("sslmode", text));
        }
        let ca = ca.filter(|path| path != "system").map(PathBuf::from);
        // As in libpq, a configured authority implies the verification of the certificate.
        let sslmode = if sslmode == SslMode::Require && ca.is_some() { SslMode::VerifyCa } else { sslmode };
        let (cert, key) = (take("sslcert").map(PathBuf::from), take("sslkey").map(PathBuf::from));
        match (&cert, &key) {
            (Some(_), None) => {
                return Err(Invalid::at("sslcert", "a client certificate needs its private key: add `sslkey`"));
            }
            (None, Some(_)) => return Err(Invalid::at("sslkey", "a private key needs its certificate: add `sslcert`")),
            _ => {}
        }
        Ok(PostgresTarget {
            dbname: take("dbname").unwrap_or_else(|| user.clone()),
            password: take("password").map(Secret::from),
            options: take("options"),
            application_name: take("application_name"),
            channel_binding,
            tls: Tls {
                ca,
                cert,
                key,
                min_version,
                max_version,
                insecure_skip_verify: sslmode != SslMode::VerifyFull,
                ..Tls::default()
            },
            host,
            hostaddr,
            port,
            user,
            sslmode,
        })
    }
}

impl PostgresTarget {
    /// Name or address to connect to.
    pub(crate) fn address(&self) -> &str {
        self.hostaddr.as_ref().unwrap_or(&self.host)
    }

    /// Host and port, or path of the Unix socket.
    pub(crate) fn name(&self) -> String {
        match self.socket_path() {
            Some(path) => path.display().to_string(),
            None if self.host.contains(':') => format!("[{}]:{}", self.host, self.port),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Path of the Unix socket; `None` for a TCP connection.
    pub(crate) fn socket_path(&self) -> Option<PathBuf> {
        let folder = Some(&self.host).filter(|host| host.starts_with('/') && self.hostaddr.is_none())?;
        Some(PathBuf::from(folder).join(format!(".s.PGSQL.{}", self.port)))
    }
}

/// Splits `[::1]:5432` and `host:5432`. An IPv6 address must be in brackets.
fn split_port(host: &str) -> (&str, &str) {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').unwrap_or_default()),
        None => host.rsplit_once(':').unwrap_or((host, "")),
    }
}

fn percent_decoded(text: &str) -> Result<String, String> {
    let bad =
        || format!("a percent sign is not followed by two hexadecimal digits, or the result is not UTF-8 text; {FORM}");
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                u8::try_from(high << 4 | low).map_err(|_| bad())?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(dsn: &str) -> Result<PostgresTarget, String> {
        let parts = Parts::parse(&Secret::from(dsn.to_owned()))?;
        parts.into_target().map_err(|invalid| invalid.message)
    }

    fn shown(dsn: &str) -> String {
        let t = target(dsn).unwrap();
        let password = t.password.as_ref().map_or("-", |password| password.expose());
        format!("{}:{} {}/{password} {} {:?}", t.host, t.port, t.user, t.dbname, t.sslmode)
    }

    #[test]
    fn urls_and_pairs_are_read_as_libpq_reads_them() {
        for (dsn, expected) in [
            (
                "postgres://me:pass@db.example:6432/orders?sslmode=verify-full",
                "db.example:6432 me/pass orders VerifyFull",
            ),
            ("postgresql://me@db", "db:5432 me/- me Prefer"),
            ("postgres://me:p%40s%3as%2f@db/a%20b", "db:5432 me/p@s:s/ a b Prefer"),
            ("postgres://me:p@ss@db/x", "db:5432 me/p@ss x Prefer"),
            ("postgres://me@[::1]:6432/x?connect_timeout=3", "::1:6432 me/- x Prefer"),
            ("postgres://%2Frun%2Fpg/x?user=me&sslmode=disable", "/run/pg:5432 me/- x Disable"),
            ("host=db user=me password='a b\\'c' dbname = x sslmode=require", "db:5432 me/a b'c x Require"),
            ("host=db user=me sslmode=require sslrootcert=/ca.pem", "db:5432 me/- me VerifyCa"),
            ("hostaddr=127.0.0.1 user=me", "127.0.0.1:5432 me/- me Prefer"),
            ("host=/run/pg port=5433 user=me", "/run/pg:5433 me/- me Prefer"),
        ] {
            assert_eq!(shown(dsn), expected, "{dsn}");
        }
        let socket = target("host=/run/pg port=5433 user=me").unwrap().socket_path().unwrap();
        assert_eq!(socket.to_str(), Some("/run/pg/.s.PGSQL.5433"));
        let rooted = target("host=db user=me sslmode=verify-ca sslrootcert=/ca.pem").unwrap();
        assert_eq!((rooted.tls.ca, rooted.tls.insecure_skip_verify), (Some(PathBuf::from("/ca.pem")), true));
        assert!(!target("host=db user=me sslmode=verify-full").unwrap().tls.insecure_skip_verify);
        let all = target(
            "host=db user=me channel_binding=require application_name=checks ssl_min_protocol_version=TLSv1.3 \
             target_session_attrs=any gssencmode=disable connect_timeout=3 sslsni=1",
        )
        .unwrap();
        assert_eq!((all.channel_binding, all.tls.min_version), (ChannelBinding::Require, Version::V1_3));
        assert_eq!(all.application_name.as_deref(), Some("checks"));
    }

    /// The keywords of the installed libpq, by its own function.
    #[test]
    fn every_keyword_of_libpq_is_known() {
        let script = "import ctypes\n\
            class O(ctypes.Structure): _fields_ = [(n, ctypes.c_char_p) for n in 'kecvld'] + [('s', ctypes.c_int)]\n\
            f = ctypes.CDLL('libpq.so.5').PQconndefaults\n\
            f.restype = ctypes.POINTER(O)\n\
            p, i = f(), 0\n\
            while p[i].k: print(p[i].k.decode()); i += 1\n";
        let output = std::process::Command::new("python3").args(["-c", script]).output().expect("python3 is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let names = String::from_utf8(output.stdout).unwrap();
        assert!(names.lines().count() >= 36, "{names}");
        let unknown: Vec<_> = names.lines().filter(|name| Keyword::find(name).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        for (dsn, word) in [
            ("", "which server"),
            ("host=db", "which role"),
            ("postgres://hunter2", "which role"),
            ("host=a,b user=hunter2", "one server"),
            ("host=db user=hunter2 port=x", "65535"),
            ("host=db user=hunter2 sslmode=allow", "verify-full"),
            ("host=db user=me password=hunter2 hunter2=1", "not known"),
            ("host=db user=me password=a hunter2", "no value"),
            ("host=db user=me password='hunter2", "quote"),
            ("postgres://me:hunter2%zz@db", "percent"),
            ("postgres://me:p@db/x?hunter2", "no value"),
            ("host=db user=hunter2 sslcert=/a", "sslkey"),
            (
                "host=db user=me passfile=hunter2",
                "`passfile`: password files of libpq are not read: use `password_file`",
            ),
            ("host=db user=me service=hunter2", "`service`: service files of libpq are not read"),
            ("host=db user=me target_session_attrs=read-write", "use the check `role`"),
            ("postgres://me@a,b/x", "one server"),
            ("host=db user=me sslcrl=hunter2", "`sslcrl`: revocation lists are not read"),
            ("host=db user=me gssencmode=require", "`gssencmode`: GSSAPI is not supported"),
            ("host=db user=me channel_binding=hunter2", "channel_binding is one of"),
            ("host=db user=me ssl_max_protocol_version=TLSv1.1", "ssl_max_protocol_version is"),
            ("host=db user=me ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2", "not below"),
            ("host=db user=me sslrootcert=system", "verify-full"),
        ] {
            let message = target(dsn).unwrap_err();
            assert!(message.contains(word) && !message.contains("hunter2"), "{dsn}: {message}");
        }
    }
}
