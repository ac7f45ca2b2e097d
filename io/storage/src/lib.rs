//! Puts finished bytes where the plan says. Local disk now; S3, Azure, GCS and OSS with issue 6.
