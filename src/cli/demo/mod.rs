//! `demo`: runs the daemon against a small service in the same process, with scripted faults.

mod backups;
mod faults;
mod service;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::{
    faults::{Fault, Faults, SCRIPT},
    service::Service,
};
use super::{Exit, block_on};
use crate::{
    app::{App, BuildError, LoadSettings},
    settings::{self, Flags, Sources},
};

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Listen on this address. Default: 127.0.0.1:10980, or another port if that one is in use
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Run without faults
    #[arg(long)]
    calm: bool,
}

/// Default port of the daemon.
const DEFAULT_PORT: u16 = 10980;
const CONFIGURATION: &str = include_str!("readiness.yaml");

impl DemoArgs {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        block_on(self.run_demo())?
    }

    async fn run_demo(self) -> anyhow::Result<Exit> {
        let folder = tempfile::Builder::new().prefix("readiness-demo-").tempdir()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let target = listener.local_addr()?;
        let build = async |port| {
            let listen = self.listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into());
            anyhow::Ok(App::build(write_configuration(listen, target, folder.path())?).await)
        };
        let app = match build(DEFAULT_PORT).await? {
            Err(BuildError::Listen { .. }) if self.listen.is_none() => build(0).await??,
            built => built?,
        };
        let address = app.addresses().next().map(|address| address.to_string()).unwrap_or_default();
        print_line(&format!(
            "A small order service runs at http://{target}, watched by readiness-exporter:\n\n  \
             status page   http://{address}/\n  metrics       http://{address}/metrics\n  \
             deploy gate   http://{address}/ready\n\nStop with Ctrl-C.\n"
        ))?;
        let faults = Arc::new(Faults::default());
        let service = Service::new(Arc::clone(&faults));
        let shutdown = CancellationToken::new();
        let signals = super::serve::handle_signals(app.reload_sender(), shutdown.clone());
        tokio::select! {
            // The app ends only after a signal.
            ended = app.run(shutdown.clone()) => ended?,
            () = async { tokio::join!(signals, std::future::pending::<()>()); } => {}
            () = Arc::clone(&service).serve(listener) => {}
            () = Arc::clone(&service).send_orders() => {}
            () = backups::run(folder.path().to_owned(), Arc::clone(&faults)) => {}
            result = play_script(&faults, &service), if !self.calm => result?,
        }
        Ok(Exit::Good)
    }
}

fn write_configuration(listen: SocketAddr, service: SocketAddr, folder: &Path) -> io::Result<LoadSettings> {
    let path = folder.join("readiness.yaml");
    std::fs::write(&path, CONFIGURATION)?;
    let environment = [
        ("DEMO_SERVICE".to_owned(), format!("http://{service}")),
        ("DEMO_BACKUPS".to_owned(), folder.display().to_string()),
    ];
    let flags = Flags { listen: vec![listen.to_string()], ..Flags::default() };
    let sources = Sources { path, environment: environment.into(), flags };
    Ok(Arc::new(move || settings::load(&sources)))
}

/// Runs the script forever.
async fn play_script(faults: &Faults, service: &Arc<Service>) -> io::Result<()> {
    loop {
        for act in SCRIPT {
            print_line(&format!("{} {} (for {}s)", clock(), act.announcement, act.duration.as_secs()))?;
            faults.set(act.fault);
            let permit = if act.fault == Some(Fault::Pool) { service.exhaust_pool().await } else { None };
            tokio::time::sleep(act.duration).await;
            drop(permit);
        }
    }
}

fn clock() -> String {
    jiff::Zoned::now().strftime("%H:%M:%S").to_string()
}

fn print_line(text: &str) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
