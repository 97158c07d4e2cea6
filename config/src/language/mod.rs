//! The small languages in which texts of the file are written: rewrite rules, mapping tables,
//! delivery options, searches in LDAP, and tables in files. Parsed once, when the file is read.

pub mod alias_list;
pub mod argument;
pub mod delivery_option;
pub mod facts;
pub(crate) mod kinds;
pub mod ldap_search;
pub mod lookup_url;
pub mod mapping;
pub mod rate;
pub mod reply_pattern;
pub mod rewrite;
pub mod template;
pub mod text_table;
pub mod user_file;
