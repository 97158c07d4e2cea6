//! Reports of TLS results (RFC 8460): what was counted is written down every few seconds, and behind each day of
//! UTC its reports go to those who want them, as mail from nobody or by HTTPS.

mod renewal;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use relais_channels::{
    clock,
    dns::Dns,
    mail::{Enhanced, Envelope, MessageIds, Priority, Recipient, Reply, TlsWish, message_id},
    tls_policy::{
        ReportMail, ReportReaders, Reporter, TlsPolicies, TlsReport, TlsReports, WebPlace,
        WebReport, WebReports, WebRetry,
    },
};
use relais_storage::{NewContent, Storage};
pub use renewal::renew_policies;
use tracing::{info, warn};

use crate::{
    channel_table::Channels,
    events::MessageAccepted,
    metrics::{Metrics, ReportResult},
    own_mail::{self, way_to},
    router::{Route, RouterHandle},
};

/// Writes reports down and sends them.
#[derive(Clone)]
pub struct TlsReporter {
    /// Our official name.
    pub host: Arc<str>,
    /// The reporting organization.
    pub organization: Arc<str>,
    /// The address for questions about them.
    pub contact: Arc<str>,
    /// The address that they are from; without one none is sent.
    pub sender: Option<Arc<str>>,
    /// The results that were counted.
    pub reports: Arc<TlsReports>,
    /// Reports on their way to places on the web.
    pub web_reports: Arc<WebReports>,
    /// The way to these.
    pub policies: Arc<TlsPolicies>,
    /// Of the section `dns`; channels may have their own.
    pub nameservers: Arc<[SocketAddr]>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where they are put as mail.
    pub storage: Storage,
    /// The way to their readers.
    pub router: RouterHandle,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl TlsReporter {
    /// Goes on until it is dropped.
    pub async fn go_on(self) {
        // Places on the web may be slow, and what is counted does not wait for them.
        tokio::join!(self.settle_on(), self.post_on());
    }

    async fn settle_on(&self) {
        loop {
            self.settle().await;
            tokio::time::sleep(EACH).await;
        }
    }

    async fn post_on(&self) {
        loop {
            let due = self.web_reports.due(clock::now().as_secs());
            let posts = stream::iter(due).map(|(file, report)| self.post(file, report));
            posts.buffer_unordered(POSTS_AT_ONCE).collect::<()>().await;
            tokio::time::sleep(EACH).await;
        }
    }

    /// Sends a report to its place on the web.
    async fn post(&self, file: String, report: WebReport) {
        let WebReport { domain, place, nameservers, .. } = &report;
        let ways = WebPlace::parse(place).zip(self.policies.web(nameservers));
        let Some((to, web)) = ways else { return self.web_reports.is_sent(&file) };
        let meter = &self.metrics.tls;
        match web.post_report(&to, report.packed()).await {
            Ok(()) => {
                info!(domain, place, "a report of TLS is sent");
                meter.reported(ReportResult::Sent);
                self.web_reports.is_sent(&file);
            }
            Err(reason) => match self.web_reports.is_refused(&file, clock::now().as_secs()) {
                WebRetry::After(seconds) => {
                    info!(domain, place, %reason, seconds, "a report of TLS is sent again later");
                    meter.reported(ReportResult::PutOff);
                }
                WebRetry::GivenUp => {
                    warn!(domain, place, %reason, "a report of TLS is given up: its day is over");
                    meter.reported(ReportResult::GivenUp);
                }
            },
        }
    }

    async fn settle(&self) {
        let its = self.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let reporter = Reporter {
                organization: &its.organization,
                contact: &its.contact,
                host: &its.host,
            };
            its.reports.settle(reporter, clock::now().as_secs())
        });
        let reports = match settled.await {
            Ok(Ok(reports)) => reports,
            Ok(Err(error)) => return warn!(%error, "results of TLS cannot be written down"),
            Err(_) => return,
        };
        if !reports.is_empty() {
            info!(domains = reports.len(), "the reports of TLS of a day are written");
        }
        for report in &reports {
            self.send(report).await;
        }
    }

    /// Sends the report about a domain to those whom it names.
    async fn send(&self, report: &TlsReport) {
        let domain = report.domain.as_str();
        let Some(sender) = &self.sender else { return };
        let own = &report.nameservers;
        let Ok(dns) = Dns::shared(if own.is_empty() { &self.nameservers } else { own }) else {
            return;
        };
        let texts = match dns.texts(&format!("_smtp._tls.{domain}")).await {
            Ok(texts) => texts,
            Err(error) => return warn!(domain, %error, "nobody knows who wants the report of TLS"),
        };
        let readers = ReportReaders::of(texts.iter().map(String::as_str));
        for place in &readers.web {
            if let Err(error) = self.web_reports.add(report, place, clock::now().as_secs()) {
                warn!(domain, place, %error, "a report of TLS is not sent");
            }
        }
        let mut routes: Vec<(Recipient, Arc<[Route]>)> = Vec::new();
        for address in &readers.mail {
            match way_to(&self.router, &self.channels, address).await {
                Ok(ways) => routes.push((Recipient::new("", address.as_str()), ways)),
                Err(reply) => info!(domain, address, %reply, "a report of TLS has nowhere to go"),
            }
        }
        if routes.is_empty() {
            return;
        }
        let id = self.ids.next();
        let content = ReportMail {
            submitter: &self.host,
            from: sender,
            to: &readers.mail,
            id: &id.to_string(),
            now: clock::now().as_secs(),
            report,
        }
        .compose();
        let entries =
            own_mail::entries_for(&self.channels, routes.iter().map(|(to, ways)| (to, &ways[..])));
        // A destination whose TLS fails is to hear of that (RFC 8460 section 3).
        let (tls, priority) = (TlsWish::NotRequired, Priority::Nonurgent);
        let envelope = own_mail::envelope(id, &self.channels, entries);
        let envelope = Envelope { tls, priority, ..envelope };
        let mut envelope = Arc::new(envelope);
        let content = Bytes::from(content);
        match self.storage.append(&mut envelope, NewContent::Whole(content.clone())).await {
            Ok(_) => {
                let reply = Reply::new(250, Enhanced(2, 0, 0), "a report of TLS");
                let message_id = message_id(&content).unwrap_or_default();
                MessageAccepted { envelope: &envelope, reply: &reply, user: "", message_id }
                    .emit(&self.metrics);
            }
            Err(error) => warn!(domain, %error, "a report of TLS cannot be sent"),
        }
    }
}

const EACH: Duration = Duration::from_secs(10);
/// Places on the web that are asked at once.
const POSTS_AT_ONCE: usize = 4;
