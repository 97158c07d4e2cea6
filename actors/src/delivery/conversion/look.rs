//! The parts of a message that something becomes of.

use std::collections::BTreeMap;

use relais_channels::mime::parts::{
    BodyEncoding, Charset, Chosen, MimePart, PartSurvey, Unsurveyed, choose,
};

use super::{
    entry::{NotNow, ToConvert},
    pieces::Pieces,
};
use crate::channel_table::NewCharset;

/// Wanted parts, by their entities.
pub(super) struct Look {
    pub(super) wanted: BTreeMap<usize, (MimePart, Wanted)>,
}

/// The wishes about a part.
pub(super) struct Wanted {
    pub(super) chosen: Chosen,
    pub(super) charset: Option<Recoding>,
}

/// Another charset for a text.
pub(super) struct Recoding {
    pub(super) from: Charset,
    pub(super) to: NewCharset,
}

impl Look {
    /// Looks at all parts of a message.
    pub(super) async fn at(its: &ToConvert<'_>) -> Result<Result<Self, Unsurveyed>, NotNow> {
        let conversions = its.parts.channels.conversions();
        let (source, out) = (&*its.envelope.source_channel, its.out);
        let table: Vec<_> = conversions.entries_for(source, out).collect();
        let wants = |part: &MimePart| {
            let chosen = choose(table.iter().copied(), part);
            let now = chosen.as_ref().and_then(|chosen| chosen.part.as_ref()).unwrap_or(part);
            let charset = recodable(now).and_then(|name| {
                let to = conversions.charset_for((source, out), &name)?;
                let is_same = to.name.eq_ignore_ascii_case(&name);
                let from = Charset::of(&name).filter(|_| !is_same)?;
                Some(Recoding { from, to })
            });
            if chosen.is_none() && charset.is_none() {
                return None;
            }
            Some(Wanted { chosen: chosen.unwrap_or_default(), charset })
        };
        let mut survey = PartSurvey::new(wants);
        let mut pieces = Pieces::of(its.content).await?;
        while let Some(piece) = pieces.next().await? {
            survey.feed(&piece);
        }
        Ok(survey.finish().map(|plan| Self { wanted: plan.wanted }))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }
}

/// The charset of a text that may get another one.
fn recodable(part: &MimePart) -> Option<String> {
    let is_text = part.kind == "text" && part.encoding != BodyEncoding::Unknown;
    (is_text && !part.is_protected)
        .then(|| part.parameter("charset").unwrap_or("us-ascii").to_ascii_lowercase())
}
