//! The binary: Redis, HTTP, metrics, child processes, command line.
