//! A Prometheus with targets of the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{free_port, reap, signal, until};

/// The labels of a series.
pub(crate) type Labels = BTreeMap<String, String>;

pub(crate) struct Prometheus {
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes each target under the name of its job, five times a second.
    pub(crate) async fn scraping(jobs: &[(&str, SocketAddr)]) -> Self {
        let mut text = "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\nscrape_configs:\n".to_owned();
        for (job, target) in jobs {
            writeln!(text, "- {{job_name: {job}, static_configs: [{{targets: [\"{target}\"]}}]}}").unwrap();
        }
        Self::configured(&text).await
    }

    /// Starts a Prometheus with a configuration.
    pub(crate) async fn configured(text: &str) -> Self {
        Self::started("prometheus", text).await
    }

    /// Starts a program, which may be another version of Prometheus, with a configuration.
    pub(crate) async fn started(program: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, text).unwrap();
        let port = free_port();
        let log = File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // Prometheus discovers Alertmanagers only seconds after the first alert, so undelivered alerts must be sent
            // again. An alert ends after four times this interval, so a much shorter one would be too short on a busy
            // machine.
            .arg("--rules.alert.resend-delay=20s")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is Debian's package prometheus: tests/setup installs it");
        let started = Self { port, child, folder };
        until("prometheus", async || {
            started.get("/-/ready").await.filter(|text| text.contains("Ready")).map(drop).ok_or(started.log())
        })
        .await;
        started
    }

    /// Duration of the last evaluation of all groups of rules.
    pub(crate) async fn evaluation(&self) -> Duration {
        let answer: Value = serde_json::from_str(&self.get("/api/v1/rules").await.unwrap()).unwrap();
        let groups = answer["data"]["groups"].as_array().unwrap();
        Duration::from_secs_f64(groups.iter().filter_map(|group| group["evaluationTime"].as_f64()).sum())
    }

    /// Reloads the configuration and the rules.
    pub(crate) fn reload(&self) {
        signal("HUP", &[self.child.id()]);
    }

    /// The log since the start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The value of an expression with one series.
    pub(crate) async fn number(&self, expression: &str) -> Option<f64> {
        let query = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect::<String>();
        let answer: Value = serde_json::from_str(&self.get(&format!("/api/v1/query?query={query}")).await?).ok()?;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// The series of an expression, without the labels that Prometheus adds, with their values.
    pub(crate) async fn values(&self, expression: &str) -> BTreeMap<String, f64> {
        let query = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect::<String>();
        let text = self.get(&format!("/api/v1/query?query={query}")).await.unwrap_or_default();
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        let value = |series: &Value| series["value"][1].as_str().unwrap().parse().unwrap();
        let all = answer["data"]["result"].as_array().into_iter().flatten();
        all.map(|series| (strip(&series["metric"]), value(series))).collect()
    }

    /// The labels of all series of an expression with their values as text.
    pub(crate) async fn instant(&self, expression: &str) -> Vec<(Labels, String)> {
        let query = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect::<String>();
        let mut data = self.data(&format!("/api/v1/query?query={query}")).await.unwrap();
        let row = |row: &mut Value| {
            let value = row["value"][1].as_str().unwrap().to_owned();
            (serde_json::from_value(row["metric"].take()).unwrap(), value)
        };
        data["result"].as_array_mut().unwrap().iter_mut().map(row).collect()
    }

    /// The error of the last scrape of each target, by the number in a label of the targets.
    pub(crate) async fn scrape_errors(&self, label: &str) -> Vec<(usize, String)> {
        let data = self.data("/api/v1/targets?state=active").await.unwrap();
        let of = |target: &Value| {
            let number = target["labels"][label].as_str().unwrap().parse().unwrap();
            (number, target["lastError"].as_str().unwrap().to_owned())
        };
        data["activeTargets"].as_array().unwrap().iter().map(of).collect()
    }

    /// The series of a job, without the labels that Prometheus adds.
    pub(crate) async fn series(&self, job: &str) -> BTreeSet<String> {
        let matcher = url::form_urlencoded::byte_serialize(format!("{{job=\"{job}\"}}").as_bytes()).collect::<String>();
        let text = self.get(&format!("/api/v1/series?match[]={matcher}")).await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        answer["data"].as_array().unwrap().iter().map(strip).collect()
    }

    /// The labels of all series of an expression, now or over the last half minute, as for a graph. Returns the error
    /// of Prometheus for an invalid expression.
    pub(crate) async fn rows(&self, expression: &str, range: bool) -> Result<Vec<Labels>, String> {
        let query = url::form_urlencoded::byte_serialize(expression.as_bytes()).collect::<String>();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let path = if range {
            format!("/api/v1/query_range?query={query}&start={}&end={now}&step=1", now - 30)
        } else {
            format!("/api/v1/query?query={query}")
        };
        let data = self.data(&path).await?;
        let rows = data["result"].as_array().ok_or("no rows but a number")?;
        rows.iter().map(|row| serde_json::from_value(row["metric"].clone()).map_err(|e| e.to_string())).collect()
    }

    /// The values of a label among the series of a selector.
    pub(crate) async fn label_values(&self, series: &str, label: &str) -> Result<BTreeSet<String>, String> {
        let selector = url::form_urlencoded::byte_serialize(series.as_bytes()).collect::<String>();
        let data = self.data(&format!("/api/v1/label/{label}/values?match[]={selector}")).await?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// Response of the API, or its error.
    async fn data(&self, path: &str) -> Result<Value, String> {
        let text = self.get(path).await.ok_or("Prometheus does not answer")?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(text) }
    }

    /// Sends a request with HTTP/1.0, so that the response has no chunks.
    pub(crate) async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").as_bytes()).await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
    }
}

/// A series as text, without the labels that Prometheus adds.
fn strip(series: &Value) -> String {
    let mut labels = series.as_object().unwrap().clone();
    labels.shift_remove("job");
    labels.shift_remove("instance");
    let sorted: BTreeMap<_, _> = labels.into_iter().collect();
    serde_json::to_string(&sorted).unwrap()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        signal("TERM", &[self.child.id()]);
        reap(&mut self.child);
    }
}
