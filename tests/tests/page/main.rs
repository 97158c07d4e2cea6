//! The page in a real browser: views, orders, keys, and what the browser is kept from.

mod browser;

use std::{fs, path::PathBuf, time::Duration};

use browser::{Browser, forward};
use relais_tests::{Authority, Dialogue, Instance, Running, Settings, eventually, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An engine with mail that waits for dead hosts.
struct Engine {
    instance: Instance,
    _running: Running,
    /// The page through the socket, as `ssh -L` shows it.
    page: String,
    /// The page over TLS.
    secured: String,
    token: String,
    files: TempDir,
}

impl Engine {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let (certificate, key) = Authority::new(files.path()).sign("page", &["localhost"], 2099);
        let token = "0123456789abcdef0123456789abcdef".to_owned();
        let token_file: PathBuf = files.path().join("token");
        fs::write(&token_file, format!("{token}\n")).unwrap();
        let settings = Settings::standalone();
        let listen = format!("listen: \"127.0.0.1:{}\"", settings.admin);
        let settings = settings
            .edit("(\"$*\",", "(\".dead.test\", \"$U%$H$D@tcp-daemon\"),\n        (\"$*\",")
            .edit(
                "tag: \"tcp-daemon\",      program: Smtp",
                &format!("tag: \"tcp-daemon\", program: Smtp, mx: NoDns, port: {}", free_port()),
            )
            .edit(
                &listen,
                &format!("{listen}, tls: true, token_file: \"{}\"", token_file.display()),
            )
            .section(&format!(
                "tls: (certificate: \"{}\", key: \"{}\")",
                certificate.display(),
                key.display()
            ));
        let instance = Instance::new(settings);
        let running = instance.spawn();
        eventually("the engine answers", Duration::from_secs(30), || {
            instance.relais("status", &[]).status.success()
        });
        for host in 1..=5 {
            send(&instance, &format!("<b>&\"{host}\"</b>"), &format!("a@host{host}.dead.test"));
            send(&instance, &format!("<b>&\"{host}\"</b>"), &format!("b@host{host}.dead.test"));
        }
        eventually("all has been tried", Duration::from_secs(30), || {
            let queue = instance.queue();
            queue.len() == 10 && queue.iter().all(|entry| entry["state"] == "delayed")
        });
        let page = format!("http://localhost:{}", forward(instance.data().join("admin.sock")));
        let secured = format!("https://localhost:{}", instance.settings.admin);
        Self { instance, _running: running, page, secured, token, files }
    }

    /// The ids of entries for a host, and the state of each.
    fn waiting(&self, host: u32) -> Vec<(String, String)> {
        let host = format!("host{host}.dead.test");
        let queue = self.instance.queue();
        let its = queue.iter().filter(|entry| entry["host"] == host.as_str());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        its.map(|entry| (text(&entry["id"]), text(&entry["state"]))).collect()
    }

    fn states(&self, host: u32) -> Vec<String> {
        self.waiting(host).into_iter().map(|(_, state)| state).collect()
    }
}

fn send(instance: &Instance, subject: &str, to: &str) {
    let mut client = Dialogue::open(instance.settings.smtp);
    let content = format!("Subject: {subject}\r\n\r\nhello\r\n");
    client.message("ann@relais.example", &[to], content.as_bytes()).expect(250);
}

fn in_time(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the browser is quick");
    });
}

const VIEWS: [(&str, &str); 8] = [
    ("/", "Overview"),
    ("/?span=day", "Overview"),
    ("/queue", "Queue"),
    ("/channels", "Channels"),
    ("/services", "Services"),
    ("/hosts", "Hosts"),
    ("/orders", "Orders"),
    ("/directory", "Directory and TLS"),
];

#[test]
fn views_ask_nobody_else_break_no_policy_and_fit_a_telephone() {
    let engine = Engine::start();
    let message = format!("/queue/{}", engine.waiting(1)[0].0);
    let title = message.replace("/queue/", "Message ");
    let views = || VIEWS.into_iter().chain([(message.as_str(), title.as_str())]);
    in_time(async {
        let browser = Browser::start(json!({})).await;
        for (path, title) in views() {
            browser.open(&format!("{}{path}", engine.page)).await;
            assert_eq!(browser.text("h1").await, title, "{path}");
            let (violations, asked) = browser.breaches().await;
            assert_eq!(violations, Vec::<Value>::new(), "{path}");
            let elsewhere: Vec<_> =
                asked.iter().filter(|url| !url.starts_with(&engine.page)).collect();
            assert!(elsewhere.is_empty() && asked.len() >= 2, "{path}: {asked:?}");
            let lost =
                browser.value("document.querySelectorAll('table:not(:has(caption))').length").await;
            assert_eq!(lost, 0, "{path}: a table without a name");
        }
        browser.shows("<b>&\"1\"</b>").await;
        // The means by which breaches are seen do see one.
        browser
            .value("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
            .await;
        assert_eq!(browser.breaches().await.0, [json!("style-src-attr")]);

        // It comes up to date by itself.
        browser.open(&engine.page).await;
        assert!(!browser.text("main").await.contains("host9.dead.test"));
        send(&engine.instance, "late", "a@host9.dead.test");
        browser.shows("host9.dead.test").await;
        browser.close().await;

        let telephone = json!({"mobileEmulation": {
            "deviceMetrics": {"width": 360, "height": 740, "pixelRatio": 1.0, "touch": true},
        }});
        let browser = Browser::start(telephone).await;
        for (path, _) in views() {
            browser.open(&format!("{}{path}", engine.page)).await;
            let width = browser.value("document.documentElement.scrollWidth").await;
            assert_eq!(width, 360, "{path} scrolls to the side");
        }
        browser.close().await;
    });
}

#[test]
fn orders_are_shown_first_and_carried_out_once() {
    let engine = Engine::start();
    in_time(async {
        let browser = Browser::start(json!({})).await;
        let by_host = |host: u32| format!("{}/queue?host=host{host}.dead.test", engine.page);

        browser.open(&by_host(1)).await;
        browser.click("input[value=all]").await;
        browser.fill("input[name=reason]", "looked into").await;
        browser.click("button[value=hold]").await;
        browser.shows("hold 2 entries with 2 recipients?").await;
        assert_eq!(engine.states(1), ["delayed", "delayed"], "only shown");
        send(&engine.instance, "late", "c@host1.dead.test");
        browser.click("#confirm button").await;
        browser.shows("2 entries held").await;
        let states = engine.states(1);
        let held = states.iter().filter(|state| *state == "held").count();
        assert_eq!((states.len(), held), (3, 2), "{states:?}");

        browser.open(&format!("{}&state=held", by_host(1))).await;
        browser.click("input[name=id]").await;
        browser.click("button[value=release]").await;
        browser.click("#confirm button").await;
        browser.shows("1 entry released").await;

        let ids = engine.waiting(2);
        for (order, said, left) in
            [("retry", "1 entry to be tried now", 2), ("return", "1 entry returned", 1)]
        {
            browser.open(&format!("{}/queue/{}", engine.page, ids[0].0)).await;
            browser.click(&format!("button[value={order}]")).await;
            browser.click("#confirm button").await;
            browser.shows(said).await;
            eventually(order, Duration::from_secs(20), || engine.waiting(2).len() == left);
        }
        browser.open(&format!("{}/queue/{}", engine.page, ids[1].0)).await;
        browser.click("button[value=reroute]").await;
        browser.shows("1 left as they are").await;
        browser.open(&format!("{}/queue/{}", engine.page, ids[1].0)).await;
        browser.click("button[value=delete]").await;
        browser.click("#confirm button").await;
        browser.shows("1 entry deleted").await;
        assert!(engine.waiting(2).is_empty());

        hosts(&engine, &browser).await;
        parts(&engine, &browser).await;
        standing(&engine, &browser).await;
        browser.close().await;
    });
    let audit = engine.instance.json("audit", &[]);
    let given: Vec<_> = audit.iter().filter_map(|order| order["command"].as_str()).collect();
    let want = [
        "queue hold",
        "queue release",
        "queue retry",
        "queue return",
        "queue delete",
        "host suspend",
        "host resume",
        "channel stop",
        "channel start",
        "set",
        "restart",
        "order add hold",
        "order remove",
        "order end",
    ];
    assert_eq!(given, want, "{audit:?}");
}

async fn hosts(engine: &Engine, browser: &Browser) {
    let suspended = || engine.instance.json("host", &["list"]);
    browser.open(&format!("{}/hosts", engine.page)).await;
    browser.fill("main form.fields input[name=host]", "host4.dead.test").await;
    browser.fill("main form.fields input[name=reason]", "they asked for it").await;
    browser.click("main form.fields button").await;
    browser.shows("2 entries of the queue wait for it now").await;
    browser.click("#confirm button").await;
    browser.shows("Mail for host4.dead.test waits until").await;
    assert!(format!("{:?}", suspended()).contains("they asked for it"));
    browser.open(&format!("{}/hosts", engine.page)).await;
    browser.click("button[aria-label='Resume host4.dead.test']").await;
    browser.shows("Mail for host4.dead.test goes again.").await;
    assert!(!format!("{:?}", suspended()).contains("host4.dead.test"));
}

async fn parts(engine: &Engine, browser: &Browser) {
    let channels = format!("{}/channels", engine.page);
    browser.open(&channels).await;
    browser.click("button[aria-label='Stop channel tcp_local']").await;
    browser.shows("stop channel tcp_local?").await;
    browser.click("#confirm button").await;
    browser.shows("Channel tcp_local is stopped.").await;
    browser.open(&channels).await;
    browser.click("button[aria-label='Start channel tcp_local']").await;
    browser.shows("Channel tcp_local is started.").await;
    browser.open(&channels).await;
    browser.fill("input[aria-label='New value of max_messages']", "5000\n").await;
    browser.shows("5000 now").await;
    browser.open(&format!("{}/services", engine.page)).await;
    browser.click("button[aria-label='Restart SMTP']").await;
    browser.click("#confirm button").await;
    browser.shows("SMTP was running and is running").await;
}

async fn standing(engine: &Engine, browser: &Browser) {
    let orders = format!("{}/orders", engine.page);
    let stand = || {
        let listed = engine.instance.json("order", &["list"]).remove(0);
        listed["orders"].as_array().map_or(0, Vec::len)
    };
    browser.open(&orders).await;
    browser.shows("No order stands.").await;
    browser.click("#order-add option[value=hold]").await;
    browser.fill("#order-add input[name=host]", "host5.dead.test").await;
    browser.fill("#order-add input[name=time]", "1h").await;
    browser.fill("#order-add input[name=reason]", "they <b>move</b> house").await;
    browser.click("#order-add > button").await;
    browser.shows("hold mail host host5.dead.test for 3600 s?").await;
    browser.shows("Now it would touch 2 entries, 2 recipients").await;
    let ids = engine.waiting(5);
    browser.shows(&ids[0].0).await;
    let is_held = || engine.states(5).contains(&"held".to_owned());
    assert!(!is_held() && stand() == 0, "only shown");
    browser.click("#confirm button").await;
    browser.shows("hold of mail host host5.dead.test.").await;
    eventually("what waits is held", Duration::from_secs(20), || {
        engine.states(5) == ["held", "held"]
    });
    browser.open(&engine.page).await;
    browser.shows("Orders in force: 1 hold").await;
    browser.open(&format!("{}/queue/{}", engine.page, ids[0].0)).await;
    browser.click("a[href^='/orders#order-']").await;
    browser.comes_to("/orders").await;
    browser.shows("they <b>move</b> house").await;
    browser.click("tr:target button[name=release]").await;
    browser.shows("Then what it has held is released.").await;
    assert_eq!(stand(), 1, "only asked");
    browser.click("#confirm button").await;
    browser.shows("ends: what it has held is released.").await;
    eventually("it has ended", Duration::from_secs(20), || stand() == 0 && !is_held());
}

#[test]
fn the_page_is_used_by_keys_and_without_a_script() {
    let engine = Engine::start();
    in_time(async {
        let browser = Browser::start(json!({})).await;
        browser.open(&engine.page).await;
        for (keys, path) in [
            ("gq", "/queue"),
            ("gh", "/hosts"),
            ("gr", "/orders"),
            ("gc", "/channels"),
            ("go", "/"),
        ] {
            browser.keys(keys).await;
            browser.comes_to(path).await;
        }
        browser.keys("gq").await;
        browser.comes_to("/queue").await;
        browser.keys("/").await;
        assert_eq!(browser.value("document.activeElement.name").await, "channel");
        browser.keys("tcp_local\n").await;
        eventually_in(&browser, "location.search", |search| search.contains("channel=tcp_local"))
            .await;
        browser.keys("jj").await;
        let second = browser.value("document.querySelectorAll('tbody tr')[1].innerText").await;
        let here = browser.value("document.activeElement.closest('tr').innerText").await;
        assert_eq!(here, second);
        browser.keys("\u{e007}").await;
        eventually_in(&browser, "location.pathname", |path| path.len() > "/queue/".len()).await;
        browser.keys("?").await;
        assert_eq!(browser.value("document.querySelector('dialog').open").await, true);
        browser.keys("\u{e00c}").await;
        let before = browser.value("getComputedStyle(document.body).backgroundColor").await;
        browser.keys("t").await;
        assert_ne!(browser.value("getComputedStyle(document.body).backgroundColor").await, before);
        browser.open(&format!("{}/channels", engine.page)).await;
        browser.click("#channels ~ .scroll thead button").await;
        assert_eq!(
            browser.value("document.querySelectorAll('[aria-sort=ascending]').length").await,
            1
        );
        browser.close().await;

        let without = json!({"prefs": {"profile.managed_default_content_settings.javascript": 2}});
        let browser = Browser::start(without).await;
        for (path, title) in VIEWS {
            browser.open(&format!("{}{path}", engine.page)).await;
            assert_eq!(browser.text("h1").await, title);
        }
        assert_eq!(browser.value("document.documentElement.className").await, "", "no script runs");
        browser.open(&format!("{}/queue?host=host3.dead.test", engine.page)).await;
        browser.click("input[name=id]").await;
        browser.click("button[value=delete]").await;
        browser.click("#confirm button").await;
        browser.shows("1 entry deleted").await;
        browser.close().await;
    });
    assert_eq!(engine.waiting(3).len(), 1);
}

#[test]
fn over_tls_the_token_lets_in_and_another_token_ends_it() {
    let engine = Engine::start();
    in_time(async {
        let browser = Browser::start(json!({})).await;
        browser.open(&format!("{}/queue", engine.secured)).await;
        browser.comes_to("/login").await;
        assert!(!browser.text("main").await.contains("dead.test"), "strangers see no mail");
        browser.fill("#token", "not it\n").await;
        browser.shows("That is not the token.").await;
        browser.fill("#token", &format!("{}\n", engine.token)).await;
        browser.comes_to("/").await;
        browser.open(&format!("{}/channels", engine.secured)).await;
        assert!(browser.text(".who").await.contains("token from 127.0.0.1"));
        assert_eq!(browser.value("document.cookie").await, "", "no script reads it");
        browser.click("button[aria-label='Start channel tcp_local'], button[aria-label='Stop channel tcp_local']").await;
        browser.click("#confirm button").await;
        browser.shows("Channel tcp_local is stopped.").await;
        browser.open(&format!("{}/channels", engine.secured)).await;
        fs::write(
            engine.files.path().join("token"),
            "another token of twenty octets".replace(' ', "-"),
        )
        .unwrap();
        browser.open(&format!("{}/channels", engine.secured)).await;
        browser.comes_to("/login").await;
        assert_eq!(browser.text("header a[href='/login']").await, "Log in");
        browser.close().await;
    });
    let audit = engine.instance.json("audit", &[]);
    assert_eq!(audit[0]["who"]["way"], "token", "{audit:?}");
    assert!(engine.instance.log().contains("a login with a wrong token was refused"));
}

async fn eventually_in(browser: &Browser, expression: &str, holds: fn(&str) -> bool) {
    for _ in 0..100 {
        let value = browser.value(expression).await;
        if value.as_str().is_some_and(holds) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{expression} is {}", browser.value(expression).await);
}

impl Browser {
    /// Waits until the page shows a text.
    async fn shows(&self, text: &str) {
        for _ in 0..200 {
            let shown = self.value("document.querySelector('main')?.innerText ?? ''").await;
            if shown.as_str().is_some_and(|shown| shown.contains(text)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{text:?} is not shown:\n{}", self.text("main").await);
    }

    /// Waits for a page.
    async fn comes_to(&self, path: &str) {
        for _ in 0..100 {
            if self.path().await == path {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{} is shown and not {path}", self.path().await);
    }
}
