//! Meters of what is done about TLS beside the mail: policies that are renewed, reports that are sent.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Counters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsMeter {
    renewals: [Counter; RenewalResult::ALL.len()],
    reports: [Counter; ReportResult::ALL.len()],
}

/// The end of the renewal of a policy of MTA-STS; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RenewalResult {
    /// It was fetched anew.
    Fetched,
    /// It could not be fetched, and the old one holds.
    Failed,
    /// The old one has ended.
    Lapsed,
}

/// The end of a report of TLS for one place on the web; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReportResult {
    /// It is there.
    Sent,
    /// It is tried again.
    PutOff,
    /// It was not taken for a day.
    GivenUp,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct TlsTaskLabels {
    result: &'static str,
}

impl RenewalResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Fetched, Self::Failed, Self::Lapsed];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Failed => "failed",
            Self::Lapsed => "lapsed",
        }
    }
}

impl ReportResult {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Sent, Self::PutOff, Self::GivenUp];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::PutOff => "put_off",
            Self::GivenUp => "given_up",
        }
    }
}

impl TlsMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let counters = |name: &str, help: &str, registry: &mut Registry| {
            let family = Family::<TlsTaskLabels, Counter>::default();
            registry.register(name, help, family.clone());
            move |result| family.get_or_create_owned(&TlsTaskLabels { result })
        };
        let help = "Renewals of MTA-STS policies that mail asks for; lapsed above 0: somebody may keep \
                    them from us, the log names the domains";
        let renewals = counters("sts_renewals", help, registry);
        let help =
            "TLS reports for places on the web (rua=https:), by result; the log names the places";
        let reports = counters("tls_web_reports", help, registry);
        Self {
            renewals: RenewalResult::ALL.map(|result| renewals(result.name())),
            reports: ReportResult::ALL.map(|result| reports(result.name())),
        }
    }

    /// Counts a renewal.
    pub fn renewed(&self, result: RenewalResult) {
        self.renewals[result as usize].inc();
    }

    /// Counts an attempt to hand a report over.
    pub fn reported(&self, result: ReportResult) {
        self.reports[result as usize].inc();
    }
}
