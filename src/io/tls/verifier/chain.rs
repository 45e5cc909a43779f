//! Bounds the work that a server's chain of certificates makes.
//!
//! A path to a trusted authority is looked for among all certificates that a server sends. Where several have the same
//! name, each is tried in each place: eight such certificates of 350 bytes took 100 to 250 ms of CPU, up to the bounds
//! of the library (100 signatures, 200,000 steps). A real chain has a certificate for each name, and a second one
//! where an authority was cross-signed.

use std::{collections::HashSet, fmt, sync::Arc};

use rustls::{CertificateError, Error, OtherError, pki_types::CertificateDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Most certificates behind the server's own, repetitions left out.
const MAX_ISSUERS: usize = 10;
/// Most of them that have the name of another one. With two, a path is found or given up within 16 signatures.
const MAX_NAMESAKES: usize = 2;

/// The certificates behind the server's own, without repetitions.
///
/// # Errors
/// There are too many of them, or too many with the same name.
pub(super) fn plain<'a>(issuers: &[CertificateDer<'a>]) -> Result<Vec<CertificateDer<'a>>, Error> {
    let mut seen = HashSet::new();
    let distinct: Vec<_> = issuers.iter().filter(|der| seen.insert(*der)).cloned().collect();
    if distinct.len() > MAX_ISSUERS {
        return Err(Tangle::Long(distinct.len()).into());
    }
    // Those that can't be read have no name: the search for a path passes them over.
    let parsed: Vec<_> = distinct.iter().filter_map(|der| X509Certificate::from_der(der).ok()).collect();
    let names: HashSet<_> = parsed.iter().map(|(_, certificate)| certificate.subject().as_raw()).collect();
    let namesakes = parsed.len() - names.len();
    if namesakes > MAX_NAMESAKES {
        return Err(Tangle::Namesakes(namesakes).into());
    }
    Ok(distinct)
}

/// Why no path is looked for.
#[derive(Debug)]
enum Tangle {
    Long(usize),
    Namesakes(usize),
}

impl fmt::Display for Tangle {
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

impl std::error::Error for Tangle {}

impl From<Tangle> for Error {
    fn from(tangle: Tangle) -> Self {
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

    use super::{super::Verifier, *};
    use crate::io::tls::failure::distrust as words;

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
        let verifier = Verifier::new(Arc::new(roots), Arc::new(default_provider()), false).unwrap();
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
            let distrust = verifier.distrust(leaf, chain, &name, UnixTime::now());
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
