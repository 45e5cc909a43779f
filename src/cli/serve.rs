//! `serve`: runs the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration.

use std::path::PathBuf;

use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use super::{Exit, GlobalArgs, block_on, print_error};
use crate::{
    app::{App, BuildError},
    server::ReloadRequest,
    settings::Flags,
};

/// Flags of `serve`; they override the configuration file and the environment.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ServeArgs {
    /// Listen on this address; may be given several times
    #[arg(long = "web.listen-address", value_name = "ADDRESS")]
    listen: Vec<String>,
    /// TLS and users of the daemon's own endpoints, as for other exporters (not supported yet)
    #[arg(long = "web.config.file", value_name = "PATH")]
    web_config: Option<PathBuf>,
    /// Allow POST /-/reload
    #[arg(long = "web.enable-lifecycle")]
    lifecycle: bool,
    /// URL under which clients reach the daemon; the commands of runbooks use it
    #[arg(long = "web.external-url", value_name = "URL")]
    external_url: Option<String>,
    /// Folder of the state that survives a restart
    #[arg(long = "state.path", value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Check the configuration and exit
    #[arg(long = "config.check")]
    check: bool,
}

impl ServeArgs {
    pub(super) fn is_empty(&self) -> bool {
        let Self { listen, web_config, lifecycle, external_url, state, check } = self;
        listen.is_empty() && web_config.is_none() && !lifecycle && external_url.is_none() && state.is_none() && !check
    }

    /// Merges the flags before the command into the flags after it, which win.
    pub(super) fn with_defaults_from(self, before: Self) -> Self {
        Self {
            listen: if self.listen.is_empty() { before.listen } else { self.listen },
            web_config: self.web_config.or(before.web_config),
            lifecycle: self.lifecycle || before.lifecycle,
            external_url: self.external_url.or(before.external_url),
            state: self.state.or(before.state),
            check: self.check || before.check,
        }
    }

    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        if self.web_config.is_some() {
            return Ok(print_error("--web.config.file is not supported yet"));
        }
        let Self { listen, lifecycle, external_url, state, check, .. } = self;
        let overrides = Flags { listen, lifecycle, external_url, state };
        if check {
            return super::validate::run(common, overrides);
        }
        let load = common.load(overrides);
        block_on(async {
            let app = match App::build(load).await {
                Ok(app) => app,
                Err(BuildError::Settings(problems)) => return Err(problems.into()),
                Err(error) => return Err(error.into()),
            };
            let addresses: Vec<_> = app.addresses().map(|address| address.to_string()).collect();
            tracing::info!(version = super::VERSION, listen = addresses.join(","), "started");
            let shutdown = CancellationToken::new();
            let signals = tokio::spawn(handle_signals(app.reload_sender(), shutdown.clone()));
            let ended = app.run(shutdown).await;
            signals.abort();
            ended?;
            tracing::info!("stopped");
            Ok(Exit::Good)
        })?
    }
}

/// Handles signals: SIGHUP requests a reload, SIGTERM and SIGINT shut down.
pub(super) async fn handle_signals(reloads: mpsc::Sender<ReloadRequest>, shutdown: CancellationToken) {
    let streams = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = streams else {
        tracing::error!("signals can't be received; this process only stops when killed");
        return;
    };
    loop {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hangup.recv() => {
                // The main loop logs the result of the reload.
                let (reply, _outcome) = oneshot::channel();
                // Never waits: SIGTERM must be received while a configuration on a dead mount is read. If the queue is
                // full, a reload that starts after this signal is due anyway.
                let _ = reloads.try_send(reply);
                continue;
            }
        };
        tracing::info!(signal = name, "stopping");
        shutdown.cancel();
        return;
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use tokio::time::timeout;

    use super::*;

    fn send_signal(name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &std::process::id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// A reload of a configuration on a dead mount never ends, so nothing is taken from the queue.
    #[tokio::test]
    async fn a_full_queue_of_reloads_holds_up_no_sigterm() {
        let (reloads, mut queue) = mpsc::channel(1);
        let shutdown = CancellationToken::new();
        let handler = tokio::spawn(handle_signals(reloads, shutdown.clone()));
        // The handlers are installed in the first poll; before that the signals would end this process.
        tokio::task::yield_now().await;
        send_signal("HUP");
        timeout(Duration::from_secs(10), async {
            while queue.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the first one is queued");
        send_signal("HUP");
        tokio::time::sleep(Duration::from_millis(50)).await;
        send_signal("TERM");
        timeout(Duration::from_secs(10), shutdown.cancelled()).await.expect("SIGTERM is received");
        handler.await.unwrap();
        assert!(queue.recv().await.is_some() && queue.recv().await.is_none(), "one reload was queued");
    }
}
