//! Values as octets.

use serde::Serialize;

/// Appends the postcard form of `value`.
pub fn append_postcard(value: &impl Serialize, out: &mut Vec<u8>) {
    // Writing to a vector does not fail, and neither do the types that are written here.
    let length = out.len();
    if postcard::to_io(value, &mut *out).is_err() {
        out.truncate(length);
    }
}
