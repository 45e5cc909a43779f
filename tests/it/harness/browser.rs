//! A headless Chromium of its own for a test, driven through chromedriver on a free port.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use fantoccini::{
    Client, ClientBuilder,
    actions::{InputSource, KeyAction, KeyActions},
    wd::WebDriverCompatibleCommand,
};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use url::{ParseError, Url};

pub(crate) struct Browser {
    pub(crate) client: Client,
    driver: Child,
    _profile: TempDir,
}

/// How long anything on a page may take.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

impl Browser {
    pub(crate) async fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver is Debian's package chromium-driver: tests/setup installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("successfully on port ").map(|(_, port)| port.trim_end_matches('.').to_owned())
            })
            .expect("chromedriver names its port");
        let profile = tempfile::tempdir().unwrap();
        let folder = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            &*folder,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ];
        let capabilities = json!({
            "goog:chromeOptions": {"args": arguments, "binary": "/usr/bin/chromium"},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium is Debian's package chromium: tests/setup installs it");
        Self { client, driver, _profile: profile }
    }

    /// Presses a key, whatever has the focus: naming the element would fail where a refresh has just replaced it.
    pub(crate) async fn press(&self, key: char) {
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: key })
            .then(KeyAction::Up { value: key });
        self.client.perform_actions(actions).await.unwrap();
    }

    /// A value that a script computes on the page.
    pub(crate) async fn eval(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Waits until a script says yes; says what it said last if it never does.
    pub(crate) async fn until(&self, script: &str) {
        let start = Instant::now();
        while self.eval(&format!("return Boolean({script})")).await != json!(true) {
            let text = if start.elapsed() > WAIT_TIMEOUT {
                self.eval("return document.body.innerText").await
            } else {
                json!("")
            };
            assert!(start.elapsed() < WAIT_TIMEOUT, "never came: {script}\non\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sets the width of the window, and returns the elements of the selector `among` that reach beyond it. Elements
    /// within `except` may, because they scroll in a box of their own or are hidden.
    pub(crate) async fn overflow(&self, width: u32, among: &str, except: &str) -> Value {
        self.width(width).await;
        self.until(&format!("innerWidth == {width}")).await;
        self.eval(&format!(
            "const wide = document.documentElement.clientWidth;
             return [...document.querySelectorAll('{among}')]
                 .filter(e => !e.closest('{except}') && e.getBoundingClientRect().right > wide + 0.5)
                 .map(e => e.tagName + '.' + e.getAttribute('class') + ': ' + e.textContent.slice(0, 40))
                 .concat(document.documentElement.scrollWidth > wide ? ['the page scrolls sideways'] : [])"
        ))
        .await
    }

    pub(crate) async fn width(&self, width: u32) {
        let size = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    pub(crate) async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Shows the page as on a medium: `screen` or `print`.
    pub(crate) async fn medium(&self, medium: &str) {
        self.devtools("Emulation.setEmulatedMedia", json!({"media": medium})).await;
    }

    /// Writes an image of the whole page if the variable `SCREENSHOTS` names a folder.
    pub(crate) async fn capture(&self, name: &str) {
        let Some(folder) = std::env::var_os("SCREENSHOTS") else { return };
        let wanted = json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": true}});
        let image = self.client.issue_cmd(Raw("goog/cdp/execute", wanted)).await.unwrap();
        let image = STANDARD.decode(image["data"].as_str().unwrap()).unwrap();
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), image).unwrap();
    }

    /// What the console says: errors, refused resources, violations of the policy.
    pub(crate) async fn console(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Raw("se/log", json!({"type": "browser"}))).await.unwrap();
        log.as_array().unwrap().iter().map(Value::to_string).collect()
    }

    pub(crate) async fn close(mut self) {
        let _ = self.client.clone().close().await;
        self.end();
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        let body = json!({"cmd": command, "params": parameters});
        self.client.issue_cmd(Raw("goog/cdp/execute", body)).await.unwrap();
    }

    /// The browser is in the driver's group, and would outlive it.
    fn end(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.driver.id())]).status();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if matches!(self.driver.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// A command of Chromium's own.
#[derive(Debug)]
struct Raw(&'static str, Value);

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.0))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.1.to_string()))
    }
}
