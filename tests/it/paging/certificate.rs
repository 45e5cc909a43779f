//! One expired certificate behind several probes: one page, for the owner of the certificate.

use std::time::Instant;

use super::{Chain, Pace};
use crate::{
    faults::{Bystanders, Calm},
    harness::{certificates::Authority, nginx::Nginx},
};

#[test]
fn an_expired_certificate_behind_six_probes_is_one_page_for_its_owner() {
    let authority = Authority::new();
    let mut nginx = Nginx::start_tls(|folder| authority.certify(folder, "localhost", 24 * 90));
    // While nginx starts again it is gone for a moment, which is not what this is about.
    let http = "http: {url: \"https://localhost:${PORT}/\", address_family: ip4, tls: {ca: \"${HOME_FOLDER}/ca.pem\"}}";
    let mut probes = format!(
        "
    - name: edge
      {http}
      checks:
        - health: {{failure_threshold: 3, severity: critical}}
          owner: orders
        - certificate: {{min_remaining: 7d}}
          owner: platform
"
    );
    for n in 1..=5 {
        probes.push_str(&format!(
            "    - name: page-{n}\n      {http}\n      depends_on: [edge/certificate]\n      checks: [{{health: \
             {{failure_threshold: 3, severity: critical}}}}]\n"
        ));
    }
    let home = Bystanders::new().beside(&probes).with("PORT", nginx.port.to_string());
    authority.write(&home.path("ca.pem"));
    let daemon = home.serve();
    drop(Calm::of(&daemon));
    let chain = Chain::watching(Pace::wanted(), &[daemon.address]);

    authority.certify(nginx.folder(), "localhost", -1);
    nginx.stop();
    nginx.start_again();
    let page = chain.next(daemon.address, 0).expect("a page");
    let all = chain.after_evaluations(15, Instant::now(), daemon.address);
    assert!(all.len() == 1 && page.alerts.len() == 1, "{all:#?}");
    let alert = &page.alerts[0];
    assert_eq!((alert.name(), alert.label("probe")), ("ReadinessCertificateExpiring", "edge"), "{alert:#?}");
    assert_eq!((alert.label("owner"), alert.label("severity")), ("platform", "critical"), "{alert:#?}");
    for n in 1..=5 {
        let check = daemon.check(&format!("page-{n}/health"));
        assert_eq!((&*check.status, &*check.summary), ("skipped", "skipped while edge/certificate fails"));
    }

    authority.certify(nginx.folder(), "localhost", 24 * 90);
    nginx.stop();
    nginx.start_again();
    let over = chain.next(daemon.address, 1).expect("an all-clear");
    let all = chain.after_evaluations(10, Instant::now(), daemon.address);
    assert!(all.len() == 2 && !over.is_firing(), "{all:#?}");
}
