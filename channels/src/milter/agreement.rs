//! The offer to a filter, and the filter's answer to it.

use super::{
    breach::Breach,
    frames::put_frame,
    packet_reader::PacketReader,
    stage::{MacroStage, is_macro_name},
};

/// The terms that a filter and we have agreed on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Agreement {
    /// 2 to 6.
    pub version: u32,
    /// Changes that it may ask for (`SMFIF_*`).
    pub(super) actions: u32,
    /// Events that it wants, and does not want, to be told and to answer (`SMFIP_*`).
    pub(super) protocol: u32,
    /// Macros that it asked for at a stage, in place of the usual ones.
    pub(super) lists: Vec<(MacroStage, Vec<String>)>,
}

/// The packet that a connection begins with.
pub(super) fn put_offer(out: &mut Vec<u8>) {
    put_frame(out, OPTNEG, |out| {
        for word in [VERSION, ACTIONS, PROTOCOL] {
            out.extend_from_slice(&word.to_be_bytes());
        }
    });
}

impl Agreement {
    /// Reads the filter's answer to the offer.
    pub(super) fn of(command: u8, data: &[u8]) -> Result<Self, Breach> {
        if command != OPTNEG {
            return Err(Breach::Unexpected(command));
        }
        let mut words = PacketReader(data);
        let (version, actions, protocol) = (words.next()?, words.next()?, words.next()?);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(Breach::Version(version));
        }
        if actions & !ACTIONS != 0 {
            return Err(Breach::Actions(actions));
        }
        let lists = read_lists(words.0)?;
        // Filters of a version are not told what it does not know (mfapi.h), whatever they say.
        let unknown = match version {
            2 => NO_UNKNOWN | NO_DATA,
            3 => NO_DATA,
            _ => 0,
        };
        // Nothing is agreed on that was not offered.
        let protocol = protocol & (PROTOCOL | NO_UNKNOWN) | unknown;
        Ok(Self { version, actions, protocol, lists })
    }

    /// Octets of data that a packet for this filter may hold.
    pub(super) fn most_data(&self) -> usize {
        match self.protocol & (MDS_256K | MDS_1M) {
            0 => (64 << 10) - 1,
            MDS_256K => (256 << 10) - 1,
            _ => (1 << 20) - 1,
        }
    }

    /// Whether it has set this flag of `SMFIP_*`.
    pub(super) fn has(&self, flag: u32) -> bool {
        self.protocol & flag != 0
    }

    /// It wants to be told of recipients that are refused.
    pub fn wants_rejected_recipients(&self) -> bool {
        self.has(RCPT_REJ)
    }

    /// It is told of the name of the client, or asks for it.
    pub fn wants_client_name(&self) -> bool {
        let is_name = |name: &String| {
            let bare = name.trim_start_matches('{').trim_end_matches('}');
            ["_", "client_name", "client_ptr", "client_resolve"].contains(&bare)
        };
        !self.has(NO_CONNECT) || self.lists.iter().any(|(_, names)| names.iter().any(is_name))
    }

    /// Values of headers begin with the blank behind the colon, in both directions.
    pub(super) fn keeps_blanks(&self) -> bool {
        self.has(HDR_LEADSPC)
    }

    /// The macros that it wants at a stage, where it has said so.
    pub(super) fn list(&self, stage: MacroStage) -> Option<&[String]> {
        let (_, names) = self.lists.iter().find(|(its, _)| *its == stage)?;
        Some(names)
    }
}

/// `SETSYMLIST`: a stage and the names of its macros, several times. Stages that nobody knows pass.
fn read_lists(data: &[u8]) -> Result<Vec<(MacroStage, Vec<String>)>, Breach> {
    let (mut words, mut lists) = (PacketReader(data), Vec::new());
    while !words.0.is_empty() {
        let stage = words.next()?;
        let names = words.text()?;
        let names = names.split(|c| b" ,\t".contains(c)).filter(|name| is_macro_name(name));
        let names: Vec<_> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        if let Some(stage) = MacroStage::of(stage) {
            lists.retain(|(its, _)| *its != stage);
            lists.push((stage, names));
        }
    }
    Ok(lists)
}

pub(super) const OPTNEG: u8 = b'O';
const VERSION: u32 = 6;
const OLDEST: u32 = 2;

pub(super) const ADD_HEADERS: u32 = 1;
pub(super) const CHANGE_BODY: u32 = 1 << 1;
pub(super) const ADD_RECIPIENTS: u32 = 1 << 2;
pub(super) const DELETE_RECIPIENTS: u32 = 1 << 3;
pub(super) const CHANGE_HEADERS: u32 = 1 << 4;
pub(super) const QUARANTINE: u32 = 1 << 5;
pub(super) const CHANGE_SENDER: u32 = 1 << 6;
pub(super) const ADD_RECIPIENTS_ARGS: u32 = 1 << 7;
const SET_MACROS: u32 = 1 << 8;
const ACTIONS: u32 = ADD_HEADERS
    | CHANGE_BODY
    | ADD_RECIPIENTS
    | DELETE_RECIPIENTS
    | CHANGE_HEADERS
    | QUARANTINE
    | CHANGE_SENDER
    | ADD_RECIPIENTS_ARGS
    | SET_MACROS;

pub(super) const NO_CONNECT: u32 = 1;
pub(super) const NO_HELO: u32 = 1 << 1;
pub(super) const NO_MAIL: u32 = 1 << 2;
pub(super) const NO_RCPT: u32 = 1 << 3;
pub(super) const NO_BODY: u32 = 1 << 4;
pub(super) const NO_HEADERS: u32 = 1 << 5;
pub(super) const NO_EOH: u32 = 1 << 6;
pub(super) const NR_HEADER: u32 = 1 << 7;
/// Unknown commands, which filters are never told of.
const NO_UNKNOWN: u32 = 1 << 8;
pub(super) const NO_DATA: u32 = 1 << 9;
pub(super) const SKIP: u32 = 1 << 10;
const RCPT_REJ: u32 = 1 << 11;
pub(super) const NR_CONNECT: u32 = 1 << 12;
pub(super) const NR_HELO: u32 = 1 << 13;
pub(super) const NR_MAIL: u32 = 1 << 14;
pub(super) const NR_RCPT: u32 = 1 << 15;
pub(super) const NR_DATA: u32 = 1 << 16;
pub(super) const NR_EOH: u32 = 1 << 18;
pub(super) const NR_BODY: u32 = 1 << 19;
const HDR_LEADSPC: u32 = 1 << 20;
const MDS_256K: u32 = 1 << 28;
const MDS_1M: u32 = 1 << 29;
/// All that mfdef.h defines, but `NO_UNKNOWN` among it: a filter is to be able to say that it does not
/// want what it will not get.
const PROTOCOL: u32 = 0x001f_ffff | MDS_256K | MDS_1M;
