//! The charset of a text.

use encoding_rs::{CoderResult, Decoder, Encoder, EncoderResult, Encoding};

/// A charset by its name, as the Encoding Standard of the WHATWG has it: `iso-8859-1` and `us-ascii` are
/// read as `windows-1252`, and written as themselves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Charset {
    encoding: &'static Encoding,
    /// The last character that it has, if that is not for the encoding to say.
    last: Option<char>,
}

impl Charset {
    /// The one of this name, in any case.
    pub fn of(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label_no_replacement(name.as_bytes())?;
        let lower = name.trim().to_ascii_lowercase();
        let last = match encoding.name() {
            "windows-1252" if lower.contains("1252") => None,
            "windows-1252" if lower.contains("ascii") || lower.contains("x3.4") => Some('\u{7f}'),
            "windows-1252" => Some('\u{ff}'),
            _ => None,
        };
        Some(Self { encoding, last })
    }

    /// Whether text can be written in it: UTF-16 is only read.
    pub fn is_written(self) -> bool {
        self.encoding.output_encoding() == self.encoding
    }
}

/// Changes the charset of a text that comes in pieces.
pub struct Recoder {
    decoder: Decoder,
    encoder: Encoder,
    last: Option<char>,
}

impl Recoder {
    /// From one charset to another one that can be written.
    pub fn new(from: Charset, to: Charset) -> Self {
        let decoder = from.encoding.new_decoder_with_bom_removal();
        Self { decoder, encoder: to.encoding.new_encoder(), last: to.last }
    }

    /// Takes a piece, the last one if `is_last`; appends it in the other charset. A character that this
    /// has not becomes `?`.
    pub fn feed(&mut self, mut octets: &[u8], is_last: bool, out: &mut Vec<u8>) {
        let mut text = String::with_capacity(PIECE);
        loop {
            let (result, read, _) = self.decoder.decode_to_string(octets, &mut text, is_last);
            octets = &octets[read..];
            let is_end = result == CoderResult::InputEmpty;
            self.write(&text, is_last && is_end, out);
            text.clear();
            if is_end {
                return;
            }
        }
    }

    fn write(&mut self, text: &str, is_last: bool, out: &mut Vec<u8>) {
        if let Some(last) = self.last {
            // The number of a character is its octet.
            out.extend(text.chars().map(|c| if c <= last { c as u32 as u8 } else { b'?' }));
            return;
        }
        let mut rest = text;
        loop {
            out.reserve(rest.len() * 4 + 16);
            let done = self.encoder.encode_from_utf8_to_vec_without_replacement(rest, out, is_last);
            let (result, read) = done;
            rest = &rest[read..];
            match result {
                EncoderResult::InputEmpty => return,
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(_) => {
                    out.reserve(16);
                    // Back to the state in which `?` is itself.
                    let _ =
                        self.encoder.encode_from_utf8_to_vec_without_replacement("?", out, false);
                }
            }
        }
    }
}

/// Octets of text that are made at once.
const PIECE: usize = 8 << 10;
