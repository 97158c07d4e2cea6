//! Reading messages back, by their place or by their id.

pub(crate) mod fresh;
pub(crate) mod lookup;
pub(crate) mod reader;
pub(crate) mod recent;
