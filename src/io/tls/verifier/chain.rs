//! Bounds the work of verifying a server's chain of certificates.
//!
//! The library searches for a path to a trusted authority among all certificates that a server sends. It tries all
//! certificates with the same name at each position of the path: eight such certificates of 350 bytes took 100 to 250
//! ms of CPU time, until the bounds of the library (100 signatures, 200,000 steps) ended the search. A real chain has
//! one certificate for each name, or two for a cross-signed authority.

use std::{collections::HashSet, fmt, sync::Arc};

use rustls::{CertificateError, Error, OtherError, pki_types::CertificateDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Maximum number of distinct issuer certificates.
const MAX_ISSUERS: usize = 10;
/// Maximum number of issuer certificates with the name of another one. With two, the search ends within 16 signatures.
const MAX_NAMESAKES: usize = 2;

/// Removes repeated issuer certificates.
///
/// # Errors
/// There are too many certificates, or too many with the same name.
pub(super) fn distinct_issuers<'a>(issuers: &[CertificateDer<'a>]) -> Result<Vec<CertificateDer<'a>>, Error> {
    let mut seen = HashSet::new();
    let distinct: Vec<_> = issuers.iter().filter(|der| seen.insert(*der)).cloned().collect();
    if distinct.len() > MAX_ISSUERS {
        return Err(ChainError::Long(distinct.len()).into());
    }
    // Unreadable certificates have no name, and the search for a path skips them.
    let parsed: Vec<_> = distinct.iter().filter_map(|der| X509Certificate::from_der(der).ok()).collect();
    let names: HashSet<_> = parsed.iter().map(|(_, certificate)| certificate.subject().as_raw()).collect();
    let namesakes = parsed.len() - names.len();
    if namesakes > MAX_NAMESAKES {
        return Err(ChainError::Namesakes(namesakes).into());
    }
    Ok(distinct)
}

/// Reason why no path is searched.
#[derive(Debug)]
enum ChainError {
    Long(usize),
    Namesakes(usize),
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long(count) => {
                write!(f, "the server sends {count} certificates behind its own, and more than {MAX_ISSUERS} are not")
            }
            Self::Namesakes(count) => write!(
                f,
                "{count} of the certificates behind the server's own have the name of another one, and more than \
                 {MAX_NAMESAKES} are not"
            ),
        }?;
        f.write_str(" looked through: let it send each certificate of its chain once")
    }
}

impl std::error::Error for ChainError {}

impl From<ChainError> for Error {
    fn from(tangle: ChainError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(tangle))))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384};
    use rustls::{
        RootCertStore,
        crypto::ring::default_provider,
        pki_types::{ServerName, UnixTime},
    };

    use super::{super::ServerVerifier, *};
    use crate::io::tls::failure::describe_distrust as words;

    /// An authority with a key of its own; `parent` signs it.
    fn authority(
        name: &str,
        parent: Option<&Issuer<'_, KeyPair>>,
    ) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let signed = match parent {
            Some(parent) => params.signed_by(&key, parent),
            None => params.self_signed(&key),
        };
        (signed.unwrap().der().clone(), Issuer::new(params, key))
    }

    fn leaf(issuer: &Issuer<'_, KeyPair>) -> CertificateDer<'static> {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
    }

    #[test]
    fn the_work_for_a_chain_is_bounded_and_real_chains_are_followed() {
        let (root, trusted) = authority("root", None);
        let (middle, between) = authority("middle", Some(&trusted));
        let (cross, _) = authority("middle", Some(&trusted));
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let verifier = ServerVerifier::new(Arc::new(roots), Arc::new(default_provider()), false).unwrap();
        // Each has the name of the trusted authority, is signed by nobody, and could come before any other.
        let (_, forger) = authority("root", None);
        let namesakes: Vec<_> = (0..150).map(|_| authority("root", Some(&forger)).0).collect();
        let strangers: Vec<_> = (0..11).map(|n| authority(&format!("stranger {n}"), Some(&forger)).0).collect();
        let (good, forged) = (leaf(&between), leaf(&forger));
        let many = vec![middle.clone(); 40];
        for (leaf, chain, expected) in [
            (&good, &[middle.clone()][..], None),
            (&good, &[cross, middle.clone(), root], None),
            (&good, &many, None),
            (&good, &[], Some("UnknownIssuer")),
            (&forged, &namesakes[..1], Some("BadSignature")),
            (&forged, &namesakes[..3], Some("BadSignature")),
            (&forged, &namesakes[..8], Some("7 of the certificates")),
            (&forged, &namesakes, Some("sends 150 certificates")),
            (&good, &strangers, Some("sends 11 certificates")),
        ] {
            let start = Instant::now();
            let name = ServerName::try_from("localhost").unwrap();
            let distrust = verifier.verification_error(leaf, chain, &name, UnixTime::now());
            let took = start.elapsed();
            println!("{} certificates: {took:?}, {distrust:?}", chain.len());
            let text = distrust.map(|error| match error {
                Error::InvalidCertificate(error) => format!("{error:?}: {}", words(&error)),
                error => panic!("{error}"),
            });
            match expected {
                Some(expected) => assert!(text.as_ref().is_some_and(|text| text.contains(expected)), "{text:?}"),
                None => assert_eq!(text, None),
            }
            // Without optimization; with it, 16 signatures take 20 ms.
            assert!(took < Duration::from_secs(1), "{} certificates took {took:?}", chain.len());
        }
    }
}
