//! Certificates that are expired, about to expire, for another name, or vouched for by nobody.

use std::path::Path;

use super::{Bystanders, Fault};
use crate::harness::{
    certificates::{Authority, self_signed},
    nginx::Nginx,
};

/// What a bad certificate turns: it is also why the service can't be used.
const REFUSED: [(&str, &str); 2] = [("shop/health", "fail certificate"), ("shop/certificate", "fail certificate")];

/// An nginx with a good certificate gets another one, and the good one back.
fn gets(certify: impl Fn(&Authority, &Path) + Send + 'static, turned: &[(&'static str, &'static str)]) -> Fault {
    let authority = Authority::new();
    let nginx = Nginx::start_tls(|folder| good(&authority, folder));
    let probe = "
        - name: shop
          tcp: {address: \"localhost:${PORT}\", address_family: ip4, tls: {ca: \"${HOME_FOLDER}/ca.pem\"}}
          # While nginx starts again it is gone for a moment, which is not what this is about.
          checks: [{health: {failure_threshold: 3}}, {certificate: {min_remaining: {warn: 30d, fail: 7d}}}]
        ";
    let address = format!("localhost:{}", nginx.port);
    let home = Bystanders::new().beside(probe).with("PORT", nginx.port.to_string());
    authority.write(&home.path("ca.pem"));
    let breaks = move |(nginx, authority): &mut (Nginx, Authority)| takes(nginx, |folder| certify(authority, folder));
    let repair = |(nginx, authority): &mut (Nginx, Authority)| takes(nginx, |folder| good(authority, folder));
    let module = format!(
        "{{prober: tcp, tcp: {{tls: true, tls_config: {{ca_file: {:?}}}, preferred_ip_protocol: ip4}}}}",
        home.path("ca.pem")
    );
    Fault::of(home, turned, (nginx, authority), breaks, repair).seen_by(module, address)
}

fn good(authority: &Authority, folder: &Path) {
    authority.certify(folder, "localhost", 24 * 90);
}

fn takes(nginx: &mut Nginx, install: impl Fn(&Path)) {
    install(nginx.folder());
    nginx.stop();
    nginx.start_again();
}

pub(crate) fn expired() -> Fault {
    gets(|authority, folder| authority.certify(folder, "localhost", -1), &REFUSED)
}

#[test]
fn an_expired_certificate_fails() {
    expired().endure();
}

pub(crate) fn for_another_name() -> Fault {
    gets(|authority, folder| authority.certify(folder, "elsewhere.example", 24 * 90), &REFUSED)
}

#[test]
fn a_certificate_for_another_name_fails() {
    for_another_name().endure();
}

pub(crate) fn self_made() -> Fault {
    gets(|_, folder| self_signed(folder, "localhost"), &REFUSED)
}

#[test]
fn a_self_signed_certificate_fails() {
    self_made().endure();
}

pub(crate) fn ends_soon() -> Fault {
    gets(|authority, folder| authority.certify(folder, "localhost", 24 * 20), &[("shop/certificate", "warn limit")])
}

#[test]
fn a_certificate_that_ends_soon_warns_and_the_service_stays_usable() {
    ends_soon().endure();
}
