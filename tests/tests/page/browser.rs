//! Debian's Chromium, without a window, and the socket of an engine as `ssh -L` forwards it.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, error::CmdError};
use hyper_util::client::legacy::connect::HttpConnector;
use relais_tests::{free_port, within};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A browser, and the program that drives it. Both end with it.
pub(crate) struct Browser {
    client: Client,
    driver: Driver,
    _profile: TempDir,
}

struct Driver {
    program: Child,
    port: u16,
}

impl Browser {
    /// A browser with these options of Chromium beside the usual ones.
    pub(crate) async fn start(options: Value) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let driver = Driver::start();
        let mut chromium = json!({
            "binary": "/usr/bin/chromium",
            "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--disable-background-networking", "--window-size=1280,900",
                format!("--user-data-dir={}", profile.path().display()),
            ],
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut chromium, options) {
            all.extend(more);
        }
        let mut wanted = Map::new();
        wanted.insert("acceptInsecureCerts".to_owned(), true.into());
        wanted.insert("goog:chromeOptions".to_owned(), chromium);
        let at = format!("http://127.0.0.1:{}", driver.port);
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(wanted).connect(&at).await;
        Self { client: client.expect("a browser"), driver, _profile: profile }
    }

    /// Shows a page.
    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// The text of the first element that this selects.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.patiently(css, async || self.client.find(Locator::Css(css)).await?.text().await).await
    }

    /// Clicks on the first element that this selects, as soon as it is there and stays.
    pub(crate) async fn click(&self, css: &str) {
        self.patiently(css, async || self.client.find(Locator::Css(css)).await?.click().await)
            .await;
    }

    /// Types into the first element that this selects.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let fill = async || self.client.find(Locator::Css(css)).await?.send_keys(text).await;
        self.patiently(css, fill).await;
    }

    /// Types where the cursor is.
    pub(crate) async fn keys(&self, keys: &str) {
        let type_it = async || self.client.active_element().await?.send_keys(keys).await;
        self.patiently(keys, type_it).await;
    }

    /// Again until it succeeds: a page that comes up to date replaces its elements.
    async fn patiently<T>(&self, what: &str, once: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let mut last = None;
        for _ in 0..100 {
            match once().await {
                Ok(done) => return done,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let source = self.client.source().await.unwrap_or_default();
        panic!("{what}: {last:?}\n{source}");
    }

    /// The value of an expression of JavaScript.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.client.execute(&script, vec![]).await.unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// The path of the page that is shown.
    pub(crate) async fn path(&self) -> String {
        self.client.current_url().await.expect("an address").path().to_owned()
    }

    /// Violations of the page's policy, and addresses that it asked, so far.
    pub(crate) async fn breaches(&self) -> (Vec<Value>, Vec<String>) {
        let script = "const done = arguments[0];
            const seen = [];
            const observer = new ReportingObserver(
                (reports) => seen.push(...reports.map((report) => report.body.effectiveDirective)),
                {types: ['csp-violation'], buffered: true});
            observer.observe();
            setTimeout(() => done([
                seen, performance.getEntriesByType('resource').map((entry) => entry.name),
            ]), 50);";
        let told = self.client.execute_async(script, vec![]).await.expect("an answer");
        let violations = told[0].as_array().cloned().unwrap_or_default();
        let asked = told[1].as_array().into_iter().flatten();
        (violations, asked.filter_map(|url| url.as_str().map(str::to_owned)).collect())
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        let Self { client, driver, .. } = self;
        let _ = client.close().await;
        drop(driver);
    }
}

impl Driver {
    fn start() -> Self {
        let port = free_port();
        let program = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let driver = Self { program, port };
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(within(Duration::from_secs(20), listens), "chromedriver listens");
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It ends its browsers then, which a signal would leave alone.
        if let Ok(mut asked) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = asked.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = asked.write_all(
                b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            );
            let _ = asked.read_to_end(&mut Vec::new());
        }
        within(Duration::from_secs(5), || {
            self.program.try_wait().is_ok_and(|ended| ended.is_some())
        });
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Forwards connections to a free port of the loopback to a socket, as long as the test runs.
pub(crate) fn forward(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(engine) = UnixStream::connect(&socket) else { continue };
            let (Ok(mut from_engine), Ok(mut to_client)) = (engine.try_clone(), client.try_clone())
            else {
                continue;
            };
            thread::spawn(move || {
                let _ = io::copy(&mut from_engine, &mut to_client);
                let _ = to_client.shutdown(Shutdown::Both);
            });
            thread::spawn(move || {
                let (mut client, mut engine) = (client, engine);
                let _ = io::copy(&mut client, &mut engine);
                let _ = engine.shutdown(Shutdown::Both);
            });
        }
    });
    port
}
