//! Reading messages back, by their place or by their id.

pub(crate) mod cache;
pub(crate) mod continued;
pub(crate) mod find;
pub(crate) mod fresh;
pub(crate) mod pages;
pub(crate) mod reader;
pub(crate) mod window;
