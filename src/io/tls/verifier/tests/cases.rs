//! Chains for the tests of verification.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose as Purpose, GeneralSubtree, IsCa,
    KeyPair, KeyUsagePurpose as Usage, NameConstraints, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;

use super::made::{Authority, openssl, read, self_signed, valid};

/// One chain, and the words of the refusal; without words, the chain is accepted.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) anchors: Vec<CertificateDer<'static>>,
    pub(super) leaf: CertificateDer<'static>,
    pub(super) sent: Vec<CertificateDer<'static>>,
    pub(super) host: &'static str,
    pub(super) refused: Option<&'static str>,
}

fn names(params: &mut CertificateParams, names: &[&str]) {
    params.subject_alt_names = names.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
}

fn address(params: &mut CertificateParams, address: &str) {
    params.subject_alt_names = vec![SanType::IpAddress(address.parse().unwrap())];
}

fn unknown_extension(is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
    extension.set_criticality(is_critical);
    extension
}

fn constrained(name: &str, is_permitted: bool) -> NameConstraints {
    let trees = vec![GeneralSubtree::DnsName(name.to_owned())];
    let (permitted_subtrees, excluded_subtrees) = if is_permitted { (trees, vec![]) } else { (vec![], trees) };
    NameConstraints { permitted_subtrees, excluded_subtrees }
}

/// Certificates that only OpenSSL can make.
fn odd_cases(folder: &Path, root: &Authority) -> Vec<Case> {
    root.write(folder, "root");
    std::fs::write(folder.join("leaf.ext"), "subjectAltName=DNS:localhost\n").unwrap();
    let v3 = "-extfile leaf.ext";
    let sign = |name: &str, key: &str, by: &str, rest: &str| {
        openssl(folder, &format!("req -new -newkey {key} -nodes -keyout {name}.key -subj /CN={name} -out {name}.csr"));
        openssl(
            folder,
            &format!(
                "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -days 90 -set_serial 9 -out {name}.pem {rest}"
            ),
        );
        read(folder, &format!("{name}.pem"))
    };
    let authority = |name: &str, key: &str, rest: &str| {
        let arguments = format!(
            "req -x509 -newkey {key} -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 900 {rest}"
        );
        openssl(folder, &arguments);
        read(folder, &format!("{name}.pem"))
    };
    let elliptic = "ec -pkeyopt ec_paramgen_curve:P-256";
    let (good, weak) = (authority("rsa", "rsa:2048", ""), authority("weak", "rsa:1024", ""));
    let (old, large) =
        (authority("old", "rsa:2048", "-sha1"), authority("large", "ec -pkeyopt ec_paramgen_curve:P-521", ""));
    openssl(folder, &format!("req -new -newkey {elliptic} -nodes -keyout v1.key -subj /CN=v1 -out v1.csr"));
    openssl(folder, "x509 -req -in v1.csr -signkey v1.key -days 900 -out v1.pem");
    let case = |name, anchor: &CertificateDer<'static>, leaf, refused| Case {
        name,
        anchors: vec![anchor.clone()],
        leaf,
        sent: vec![],
        host: "localhost",
        refused,
    };
    vec![
        case("RSA 2048", &good, sign("a", "rsa:2048", "rsa", v3), None),
        case("RSA 3072 with SHA-512", &good, sign("b", "rsa:3072", "rsa", &format!("-sha512 {v3}")), None),
        case("RSA 1024", &root.der, sign("c", "rsa:1024", "root", v3), Some("has 1024 bits")),
        case(
            "RSA 1024 authority",
            &weak,
            sign("d", elliptic, "weak", v3),
            Some("the RSA key of CN=weak has 1024 bits"),
        ),
        case(
            "SHA-1",
            &good,
            sign("e", "rsa:2048", "rsa", &format!("-sha1 {v3}")),
            Some("SHA-1 and RSA, which can be forged"),
        ),
        case("SHA-1 of the authority itself", &old, sign("f", "rsa:2048", "old", v3), None),
        case("P-521 authority", &large, sign("g", elliptic, "large", v3), Some("does not support")),
        case("version 1", &good, sign("localhost", elliptic, "rsa", ""), Some("X.509 version 1")),
        case("version 1 authority", &read(folder, "v1.pem"), sign("h", elliptic, "v1", v3), None),
    ]
}

pub(super) fn cases(folder: &Path) -> Vec<Case> {
    let root = Authority::root("root", |_| {});
    let middle = root.under("middle", |_| {});
    let expired = |params: &mut CertificateParams| valid(params, -100, -1);
    let old_middle = middle.again(Some(&root), expired);
    let (old_root, short_root) = (root.again(None, expired), root.again(None, |params| valid(params, -100, 2)));
    let future_root = root.again(None, |params| valid(params, 5, 900));
    let veteran = Authority::root("veteran", expired);
    let cross = root.again(Some(&veteran), expired);
    let stranger = Authority::root("root", |_| {});
    let (other, no_signer) = (
        Authority::root("other", |_| {}),
        Authority::root("no signer", |params| params.key_usages = vec![Usage::CrlSign]),
    );
    let unsigned = root.under("no signer", |params| params.key_usages = vec![Usage::DigitalSignature]);
    let end = root.under("end", |params| params.is_ca = IsCa::ExplicitNoCa);
    let short = root.under("short", |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below = short.under("below", |_| {});
    let permitted = root.under("permitted", |params| params.name_constraints = Some(constrained("localhost", true)));
    let foreign = root.under("foreign", |params| params.name_constraints = Some(constrained("example", true)));
    let excluded = root.under("excluded", |params| params.name_constraints = Some(constrained("localhost", false)));
    let large = Authority::with_key("large", &PKCS_ECDSA_P384_SHA384);
    let edwards = Authority::with_key("edwards", &PKCS_ED25519);
    let edwards_leaf = edwards.leaf_with(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), |_| {});
    let own = self_signed(|_| {});
    let own_authority = self_signed(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    let own_expired = self_signed(|params| valid(params, -90, -1));
    let own_client = self_signed(|params| params.extended_key_usages = vec![Purpose::ClientAuth]);
    let own_other = self_signed(|params| names(params, &["other.example"]));
    let issued = root.leaf(|_| {});
    let mut all = odd_cases(folder, &root);
    let mut add =
        |name, anchors: &[&CertificateDer<'static>], leaf: &CertificateDer<'static>, sent: &[&Authority], refused| {
            all.push(Case {
                name,
                anchors: anchors.iter().map(|der| (*der).clone()).collect(),
                leaf: leaf.clone(),
                sent: sent.iter().map(|authority| authority.der.clone()).collect(),
                host: "localhost",
                refused,
            });
        };
    let r = &[&root.der][..];
    let from_middle = middle.leaf(|_| {});
    add("issued by the root", r, &issued, &[], None);
    add("one issuer", r, &from_middle, &[&middle], None);
    add("the root is sent, too", r, &from_middle, &[&middle, &root], None);
    add("a repeated issuer", r, &from_middle, &[&middle, &middle, &root], None);
    add(
        "two issuers in the wrong order",
        r,
        &middle.under("lower", |_| {}).leaf(|_| {}),
        &[&middle],
        Some("sends no certificate of CN=lower"),
    );
    let lower = middle.under("lower", |_| {});
    add("two issuers", r, &lower.leaf(|_| {}), &[&lower, &middle], None);
    add("two issuers, the upper one first", r, &lower.leaf(|_| {}), &[&middle, &lower], None);
    add("a missing issuer", r, &from_middle, &[], Some("sends no certificate of CN=middle"));
    add(
        "another authority",
        &[&other.der],
        &from_middle,
        &[&middle, &root],
        Some("the chain ends with the authority CN=root"),
    );
    add("expired", r, &root.leaf(|params| valid(params, -90, -1)), &[], Some("the certificate expired on"));
    add("not valid yet", r, &root.leaf(|params| valid(params, 2, 90)), &[], Some("not valid before"));
    add("an expired issuer", r, &from_middle, &[&old_middle], Some("the issuer CN=middle expired on"));
    add("an expired issuer and its successor", r, &from_middle, &[&old_middle, &middle], None);
    add("an expired authority", &[&old_root.der], &issued, &[], Some("the trusted authority CN=root expired on"));
    add(
        "an expired authority above an issuer",
        &[&old_root.der],
        &from_middle,
        &[&middle],
        Some("the trusted authority CN=root expired on"),
    );
    add(
        "a future authority",
        &[&future_root.der],
        &issued,
        &[],
        Some("the trusted authority CN=root is not valid before"),
    );
    add("an expired authority and its successor", &[&old_root.der, &root.der], &issued, &[], None);
    add("a successor and the expired authority", &[&root.der, &old_root.der], &issued, &[], None);
    add("an authority that ends in two days", &[&short_root.der], &issued, &[], None);
    add("an unused expired cross signature", r, &from_middle, &[&middle, &cross], None);
    add("only an expired cross signature", &[&veteran.der], &from_middle, &[&middle, &cross], Some("expired on"));
    add("an unused stranger", r, &from_middle, &[&other, &middle], None);
    add("an authority of the same name", &[&stranger.der], &issued, &[], Some("another key"));
    add("the right one of two authorities of the same name", &[&stranger.der, &root.der], &issued, &[], None);
    add("an issuer as the authority", &[&middle.der], &from_middle, &[], None);
    add("an expired issuer as the authority", &[&old_middle.der], &from_middle, &[], Some("expired on"));
    add("self-signed", r, &own, &[], Some("self-signed"));
    add("self-signed and an authority", r, &own_authority, &[], Some("self-signed"));
    add("self-signed and trusted", &[&own], &own, &[], None);
    add("self-signed, trusted, and an authority", &[&own_authority], &own_authority, &[], None);
    add("self-signed, trusted and expired", &[&own_expired], &own_expired, &[], Some("the certificate expired on"));
    add("self-signed, trusted, for clients", &[&own_client], &own_client, &[], Some("not made for servers"));
    add(
        "self-signed, trusted, for another name",
        &[&own_other],
        &own_other,
        &[],
        Some("not for localhost but for other.example"),
    );
    add("self-signed again with another key", &[&own], &self_signed(|_| {}), &[], Some("self-signed"));
    add("itself trusted without its issuer", &[&issued], &issued, &[], None);
    add(
        "an authority as a server",
        r,
        &root.leaf(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        &[],
        Some("authority's own certificate"),
    );
    add(
        "for servers and clients",
        r,
        &root.leaf(|params| params.extended_key_usages = vec![Purpose::ServerAuth, Purpose::ClientAuth]),
        &[],
        None,
    );
    add(
        "for clients",
        r,
        &root.leaf(|params| params.extended_key_usages = vec![Purpose::ClientAuth]),
        &[],
        Some("not made for servers"),
    );
    add(
        "for any purpose",
        r,
        &root.leaf(|params| params.extended_key_usages = vec![Purpose::Any]),
        &[],
        Some("not made for servers"),
    );
    add(
        "an issuer for clients",
        r,
        &root.under("clients", |params| params.extended_key_usages = vec![Purpose::ClientAuth]).leaf(|_| {}),
        &[],
        Some("sends no"),
    );
    add("a key for signatures", r, &root.leaf(|params| params.key_usages = vec![Usage::DigitalSignature]), &[], None);
    add(
        "a key for lists",
        r,
        &root.leaf(|params| params.key_usages = vec![Usage::CrlSign]),
        &[],
        Some("does not allow TLS"),
    );
    add(
        "an issuer whose key must not sign",
        r,
        &unsigned.leaf(|_| {}),
        &[&unsigned],
        Some("must not sign certificates"),
    );
    add(
        "an authority whose key must not sign",
        &[&no_signer.der],
        &no_signer.leaf(|_| {}),
        &[],
        Some("must not sign certificates"),
    );
    add("an issuer that is no authority", r, &end.leaf(|_| {}), &[&end], Some("not an authority"));
    add("a path that may have this length", r, &short.leaf(|_| {}), &[&short], None);
    add("a path that is too long", r, &below.leaf(|_| {}), &[&below, &short], Some("path length"));
    add("a permitted name", r, &permitted.leaf(|_| {}), &[&permitted], None);
    add("a name that is not permitted", r, &foreign.leaf(|_| {}), &[&foreign], Some("name constraints"));
    add("an excluded name", r, &excluded.leaf(|_| {}), &[&excluded], Some("name constraints"));
    add(
        "an unknown extension",
        r,
        &root.leaf(|params| params.custom_extensions = vec![unknown_extension(false)]),
        &[],
        None,
    );
    add(
        "an unknown critical extension",
        r,
        &root.leaf(|params| params.custom_extensions = vec![unknown_extension(true)]),
        &[],
        Some("critical extension"),
    );
    add("P-384", &[&large.der], &large.leaf(|_| {}), &[], None);
    add("Ed25519", &[&edwards.der], &edwards_leaf, &[], None);
    add(
        "only a common name",
        r,
        &root.leaf(|params| {
            params.subject_alt_names.clear();
            params.distinguished_name.push(rcgen::DnType::CommonName, "localhost");
        }),
        &[],
        Some("no name at all"),
    );
    add("a far end", r, &root.leaf(|params| params.not_after = rcgen::date_time_ymd(9999, 12, 31)), &[], None);
    add(
        "a large serial number",
        r,
        &root.leaf(|params| params.serial_number = Some(SerialNumber::from(vec![0x7f; 20]))),
        &[],
        None,
    );
    for (name, host, entry, refused) in [
        ("a wildcard", "a.b.example", "*.b.example", None),
        ("a wildcard for two labels", "x.a.b.example", "*.b.example", Some("not for x.a.b.example")),
        ("a wildcard without a label", "b.example", "*.b.example", Some("not for b.example")),
        ("a wildcard for a top-level domain", "b.example", "*.example", Some("not for b.example")),
        ("a partial wildcard", "ab.b.example", "a*.b.example", Some("not for ab.b.example")),
        ("another case", "a.example", "A.EXAMPLE", None),
        ("an underscore", "a_b.example", "a_b.example", None),
        ("a final dot", "a.example.", "a.example", None),
        ("an international name", "bücher.example", "xn--bcher-kva.example", None),
        ("an address as a DNS name", "127.0.0.1", "127.0.0.1", Some("as a DNS name and not as an IP address")),
        ("a subdomain", "a.localhost", "localhost", Some("not for a.localhost")),
    ] {
        let leaf = root.leaf(|params| names(params, &[entry]));
        all.push(Case { name, anchors: vec![root.der.clone()], leaf, sent: vec![], host, refused });
    }
    for (name, host, entry, refused) in [
        ("an IPv4 address", "127.0.0.1", "127.0.0.1", None),
        ("an IPv6 address", "[::1]", "::1", None),
        ("an IPv6 address with a zone", "fe80::1%eth0", "fe80::1", None),
        ("another address", "127.0.0.2", "127.0.0.1", Some("not for 127.0.0.2")),
    ] {
        let leaf = root.leaf(|params| address(params, entry));
        all.push(Case { name, anchors: vec![root.der.clone()], leaf, sent: vec![], host, refused });
    }
    all
}
