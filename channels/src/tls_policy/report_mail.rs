//! Reports on their way to those who want them (RFC 8460 sections 3 and 5.3).

use std::io::Write;

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use super::{report::TlsReport, web::WebPlace};
use crate::mail::Address;

/// Where reports about a domain go, by the TXT record of `_smtp._tls.DOMAIN`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReportReaders {
    /// Mail addresses.
    pub mail: Vec<String>,
    /// Places on the web, as [`WebPlace`] reads them.
    pub web: Vec<String>,
}

/// A report by mail.
#[derive(Clone, Copy, Debug)]
pub struct ReportMail<'a> {
    /// Our name, by which we report.
    pub submitter: &'a str,
    /// The address that it is from.
    pub from: &'a str,
    /// Its readers.
    pub to: &'a [String],
    /// The queue id, as text.
    pub id: &'a str,
    /// Seconds since 1970.
    pub now: u64,
    /// The report.
    pub report: &'a TlsReport,
}

impl ReportReaders {
    /// Of the one record among the TXT records; nobody without one, or with several.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a str>) -> Self {
        let is_ours =
            |text: &&str| text.split(';').next().is_some_and(|first| first.trim() == "v=TLSRPTv1");
        let mut ours = records.into_iter().filter(is_ours);
        let Some(record) = ours.next().filter(|_| ours.next().is_none()) else {
            return Self::default();
        };
        let mut fields = record.split(';').skip(1).filter_map(|field| field.split_once('='));
        let wanted = fields.find(|(key, _)| key.trim() == "rua").map_or("", |(_, value)| value);
        let mut readers = Self::default();
        for place in wanted.split(',').map(str::trim).take(MOST_READERS) {
            if let Some(address) = place.strip_prefix("mailto:") {
                // A query asks for header fields, which are ours alone.
                let address = address.split('?').next().unwrap_or_default();
                let is_plain = address.is_ascii() && !address.contains('%');
                if is_plain && Address::parse(address).is_ok_and(|its| its.domain().is_some()) {
                    readers.mail.push(address.to_owned());
                }
            } else if WebPlace::parse(place).is_some() {
                readers.web.push(place.to_owned());
            }
        }
        readers
    }
}

impl ReportMail<'_> {
    /// The message, in wire form: ASCII, no line longer than 78.
    pub fn compose(&self) -> Vec<u8> {
        let Self { submitter, from, id, report: TlsReport { domain, body, .. }, .. } = *self;
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let report_id = text("/report-id");
        let [begin, end] = ["start", "end"].map(|which| {
            let time = text(&format!("/date-range/{which}-datetime")).parse::<Timestamp>();
            time.map_or(0, Timestamp::as_second)
        });
        let date = Timestamp::from_second(i64::try_from(self.now).unwrap_or_default());
        let date = date.unwrap_or_default().to_zoned(TimeZone::UTC);
        let boundary = format!("=_relais_{id}");
        let to = self.to.join(",\r\n\t");
        let packed = BASE64_STANDARD.encode(gzipped(body.to_string().as_bytes()));
        let mut message = format!(
            "From: {from}\r\nTo: {to}\r\nDate: {date}\r\nMessage-ID: <{id}@{submitter}>\r\n\
             Subject: Report Domain: {domain}\r\n\tSubmitter: {submitter}\r\n\tReport-ID: <{report_id}>\r\n\
             TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\nTLS-Required: No\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
             This is an aggregate report of TLS connections from\r\n{submitter} to\r\n{domain}.\r\n\
             \r\n--{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\n\
             Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n\
             \tfilename=\"{submitter}!{domain}!{begin}!{end}.json.gz\"\r\n\r\n",
            date = date.strftime("%a, %d %b %Y %H:%M:%S +0000"),
        );
        for line in packed.as_bytes().chunks(LINE) {
            message.push_str(&String::from_utf8_lossy(line));
            message.push_str("\r\n");
        }
        message = message + "--" + &boundary + "--\r\n";
        message.into_bytes()
    }
}

/// Octets in gzip.
pub(super) fn gzipped(octets: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector does not fail.
    let _ = packed.write_all(octets);
    packed.finish().unwrap_or_default()
}

/// Octets of a line of base64.
const LINE: usize = 76;
/// Readers of one domain.
const MOST_READERS: usize = 10;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use mail_parser::{MessageParser, MimeHeaders};
    use serde_json::json;

    use super::*;

    #[test]
    fn one_record_says_who_reads() {
        let rows: [(&[&str], &str, &str); 9] = [
            (&["v=TLSRPTv1;rua=mailto:tls@a.test"], "tls@a.test", ""),
            (
                &["v=TLSRPTv1; rua=mailto:tls@a.test,https://a.test/v1"],
                "tls@a.test",
                "https://a.test/v1",
            ),
            (&["v=TLSRPTv1; rua=mailto:a@a.test, mailto:b@b.test;"], "a@a.test b@b.test", ""),
            (&["v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@a.test?subject=x"], "a@a.test", ""),
            (&["v=TLSRPTv1; rua=mailto:a@a.test", "v=TLSRPTv1; rua=mailto:b@a.test"], "", ""),
            (&["v=TLSRPTv2; rua=mailto:a@a.test"], "", ""),
            (&["v=TLSRPTv1; rua=mailto:a%0d%0aTo@a.test"], "", ""),
            (&["v=TLSRPTv1; rua=mailto:a, http://a.test"], "", ""),
            (&["v=TLSRPTv1"], "", ""),
        ];
        for (records, mail, web) in rows {
            let readers = ReportReaders::of(records.iter().copied());
            assert_eq!(
                (readers.mail.join(" "), readers.web.join(" ")),
                (mail.into(), web.into()),
                "{records:?}"
            );
        }
    }

    #[test]
    fn a_report_by_mail_is_read_by_others() {
        let report = json!({
            "report-id": "2024-10-04!a.test@mail.example.org",
            "date-range": {
                "start-datetime": "2024-10-04T00:00:00Z",
                "end-datetime": "2024-10-04T23:59:59Z",
            },
            "policies": [],
        });
        let to = ["tls@a.test".to_owned(), "tls@b.test".to_owned()];
        let mail = ReportMail {
            submitter: "mail.example.org",
            from: "tls-reports@example.org",
            to: &to,
            id: "17",
            now: 1_728_000_000,
            report: &TlsReport {
                domain: "a.test".to_owned(),
                nameservers: Vec::new(),
                body: report.clone(),
            },
        };
        let octets = mail.compose();
        let lines = String::from_utf8(octets.clone()).unwrap();
        assert!(lines.is_ascii() && lines.split("\r\n").all(|line| line.len() <= 78), "{lines}");
        let read = MessageParser::default().parse(&octets).unwrap();
        assert_eq!(read.header("TLS-Required").unwrap().as_text(), Some("No"));
        assert_eq!(
            read.subject(),
            Some(
                "Report Domain: a.test Submitter: mail.example.org Report-ID: <2024-10-04!a.test@mail.example.org>"
            )
        );
        let attachment = read.attachment(0).unwrap();
        assert_eq!(
            attachment.attachment_name(),
            Some("mail.example.org!a.test!1728000000!1728086399.json.gz")
        );
        let mut text = String::new();
        GzDecoder::new(attachment.contents()).read_to_string(&mut text).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), report);
    }
}
