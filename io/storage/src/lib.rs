//! Puts finished bytes where the plan says: disk now; S3, Azure, GCS and OSS with a later version.
//!
//! Holds no rules: names and places are decided in `recording`, bytes in `container`.

pub mod error;
pub mod local;
pub mod part;

pub use error::Error;
pub use local::Stored;
pub use part::PartFile;
